using System.Buffers.Binary;
using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Makes the copied flags of the active disk say what the stored counts say.</summary>
internal static class FlagRepair
{
    /// <summary>Repairs the flags of the L1 table and of all L2 tables of the active disk.</summary>
    /// <param name="file">The image.</param>
    /// <param name="audit">A pass over it as it is now, its counts already repaired and on disk.</param>
    /// <param name="cancellationToken">Cancels between tables.</param>
    public static async ValueTask RunAsync(IByteFile file, ImageAudit audit, CancellationToken cancellationToken)
    {
        var image = audit.Image;
        if (TableEdit.IsSafe(audit, (long)image.Header.L1Offset, image.Header.L1Entries))
        {
            await TableEdit
                .RunAsync(
                    file,
                    (long)image.Header.L1Offset,
                    image.Header.L1Entries * 8L,
                    piece => RepairL1(piece.Span, audit),
                    cancellationToken)
                .ConfigureAwait(false);
        }

        foreach (var table in audit.L2Tables)
        {
            if (table.Active > 0 && TableEdit.MayFlag(audit, table.Offset))
            {
                await TableEdit
                    .RunAsync(
                        file, table.Offset, image.ClusterSize, piece => RepairL2(piece.Span, audit), cancellationToken)
                    .ConfigureAwait(false);
            }
        }

        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private static bool RepairL1(Span<byte> table, ImageAudit audit)
    {
        var isChanged = false;
        for (var i = 0; i < table.Length; i += 8)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(table[i..]);
            isChanged |= (entry & EntryRules.OffsetMask) != 0 && TrySet(table[i..], entry, audit, isCounted: true);
        }

        return isChanged;
    }

    private static bool RepairL2(Span<byte> table, ImageAudit audit)
    {
        var isChanged = false;
        for (var i = 0; i < table.Length; i += audit.Image.Header.L2EntrySize)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(table[i..]);
            isChanged |= (entry & EntryRules.Compressed) == 0
                && EntryRules.HasCluster(entry, audit.Image)
                && TrySet(table[i..], entry, audit, isCounted: !audit.Image.HasDataFile);
        }

        return isChanged;
    }

    private static bool TrySet(Span<byte> cell, ulong entry, ImageAudit audit, bool isCounted)
    {
        var cluster = (long)(entry & EntryRules.OffsetMask) >> audit.Image.ClusterBits;

        // Outside the file nothing is counted, so nothing there is referenced exactly once.
        var isOne = !isCounted || (audit.Stored.Knows(cluster) && audit.Stored.IsOne(cluster));
        var right = isOne ? entry | EntryRules.Copied : entry & ~EntryRules.Copied;
        BinaryPrimitives.WriteUInt64BigEndian(cell, right);
        return right != entry;
    }
}
