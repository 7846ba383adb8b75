using System.Buffers.Binary;
using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Puts entries right that break a rule of the format but leave no doubt what they mean.</summary>
internal static class EntryRepair
{
    /// <summary>Repairs the L1 tables of disk and snapshots, and all L2 tables.</summary>
    public static async ValueTask RunAsync(IByteFile file, ImageAudit audit, CancellationToken cancellationToken)
    {
        var image = audit.Image;
        await RepairL1Async(file, audit, (long)image.Header.L1Offset, image.Header.L1Entries, cancellationToken)
            .ConfigureAwait(false);
        foreach (var (offset, entries) in audit.Snapshots.Tables)
        {
            await RepairL1Async(file, audit, offset, entries, cancellationToken).ConfigureAwait(false);
        }

        foreach (var table in audit.L2Tables)
        {
            if (!audit.HasPhantomTable && TableEdit.IsSafe(audit, table))
            {
                await TableEdit
                    .RunAsync(
                        file, table.Offset, image.ClusterSize, piece => RepairL2(piece.Span, image), cancellationToken)
                    .ConfigureAwait(false);
            }
        }

        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private static ValueTask RepairL1Async(
        IByteFile file, ImageAudit audit, long offset, long entries, CancellationToken cancellationToken) =>
        TableEdit.IsSafe(audit, offset, entries)
            ? TableEdit.RunAsync(file, offset, entries * 8, piece => RepairL1(piece.Span), cancellationToken)
            : ValueTask.CompletedTask;

    private static bool RepairL1(Span<byte> table)
    {
        var isChanged = false;
        for (var i = 0; i < table.Length; i += 8)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(table[i..]);
            var right = (entry & EntryRules.OffsetMask) == 0 ? 0 : entry & ~EntryRules.L1Reserved;
            if (right != entry)
            {
                BinaryPrimitives.WriteUInt64BigEndian(table[i..], right);
                isChanged = true;
            }
        }

        return isChanged;
    }

    private static bool RepairL2(Span<byte> table, CheckedImage image)
    {
        var isChanged = false;
        for (var i = 0; i < table.Length; i += image.Header.L2EntrySize)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(table[i..]);
            var bitmap = image.Header.L2EntrySize == 16 ? BinaryPrimitives.ReadUInt64BigEndian(table[(i + 8)..]) : 0;
            var (right, rightBitmap) = Repair(entry, bitmap, image);
            if (right != entry)
            {
                BinaryPrimitives.WriteUInt64BigEndian(table[i..], right);
                isChanged = true;
            }

            if (rightBitmap != bitmap)
            {
                BinaryPrimitives.WriteUInt64BigEndian(table[(i + 8)..], rightBitmap);
                isChanged = true;
            }
        }

        return isChanged;
    }

    private static (ulong Entry, ulong Bitmap) Repair(ulong entry, ulong bitmap, CheckedImage image)
    {
        if ((entry & EntryRules.Compressed) != 0)
        {
            // The reader heeds neither the flag nor the bitmap of a compressed cluster.
            return (entry & ~EntryRules.Copied, image.HasDataFile ? bitmap : 0);
        }

        entry &= ~EntryRules.L2Reserved;
        var isExtended = image.Header.L2EntrySize == 16;
        var hasContent = isExtended
            ? (bitmap & EntryRules.AllocatedSubclusters) != 0
            : (entry & EntryRules.Zero) == 0;
        return !EntryRules.HasCluster(entry, image) || image.IsAligned(entry & EntryRules.OffsetMask) || hasContent
            ? (entry, bitmap)
            : isExtended ? (0, bitmap) : (EntryRules.Zero, bitmap);
    }
}
