using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Writes the counts that the references make into the blocks that are there.</summary>
internal static class CountRepair
{
    /// <summary>Repairs all counts, or only those that are too high.</summary>
    /// <remarks>Each count is right by itself, so the order does not matter when this is interrupted.</remarks>
    public static async ValueTask RunAsync(
        IByteFile file, ImageAudit audit, QcowRepairMode mode, CancellationToken cancellationToken)
    {
        var image = audit.Image;
        var order = (int)image.Header.RefcountOrder;
        var perBlock = RefcountEntries.PerBlock(image.ClusterSize, order);
        var block = new byte[image.ClusterSize];
        for (var index = 0; index < audit.Stored.Table.Length; index++)
        {
            var first = (long)index * perBlock;
            var count = (int)Math.Clamp(audit.References.Clusters - first, 0, perBlock);
            var offset = (long)StoredCounts.Offset(audit.Stored.Table[index]);
            if (offset == 0 || count == 0)
            {
                continue;
            }

            var read = await file.ReadAsync(offset, block, cancellationToken).ConfigureAwait(false);
            block.AsSpan(read).Clear();
            if (Set(block, audit.References, first, count, order, mode))
            {
                await file.WriteAsync(offset, block, cancellationToken).ConfigureAwait(false);
            }
        }

        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private static bool Set(
        Span<byte> block, ReferenceCounts references, long first, int count, int order, QcowRepairMode mode)
    {
        var isChanged = false;
        for (var i = 0; i < count; i++)
        {
            var stored = RefcountEntries.Get(block, i, order);
            var referenced = references.Storable(first + i);
            if (stored > referenced || (stored < referenced && mode == QcowRepairMode.All))
            {
                RefcountEntries.Set(block, i, order, referenced);
                isChanged = true;
            }
        }

        return isChanged;
    }
}
