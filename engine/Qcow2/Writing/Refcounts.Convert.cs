using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

internal sealed partial class Refcounts
{
    /// <summary>Writes all counts anew in another width, behind everything else; the old ones stay in force until the
    /// header names the new ones.</summary>
    /// <param name="newOrder">log2 of the new width in bits.</param>
    /// <param name="cancellationToken">Cancels; the file got longer, nothing else.</param>
    /// <returns>The new counts. Everything must have been written and given back before.</returns>
    /// <exception cref="DiskOperationException">A count does not fit the new width, or the table would be too
    /// large.</exception>
    public async ValueTask<Refcounts> ConvertAsync(int newOrder, CancellationToken cancellationToken)
    {
        var end = await EndAsync(cancellationToken).ConfigureAwait(false);
        var newPerBlock = RefcountEntries.PerBlock(ClusterSize, newOrder);
        var (blocks, tableClusters) = Measure(end, newPerBlock);
        if (tableClusters << clusterBits > Math.Max(MaxTableBytes, ClusterSize))
        {
            throw new DiskOperationException("The refcount table of that width would exceed 8 MiB.");
        }

        var used = end + blocks + tableClusters;
        var newTable = new ulong[(tableClusters << clusterBits) / 8];
        var bytes = new byte[ClusterSize];
        for (var index = 0L; index < blocks; index++)
        {
            Array.Clear(bytes);
            for (var at = 0; at < newPerBlock && (index * newPerBlock) + at is var cluster && cluster < used; at++)
            {
                var count = cluster >= end ? 1
                    : IsOwn(cluster) ? 0
                    : await GetAsync(cluster, cancellationToken).ConfigureAwait(false);
                if (count > RefcountEntries.Max(newOrder))
                {
                    throw new DiskOperationException(
                        $"Cannot decrease refcount entry width to {1 << newOrder} bits: "
                        + $"Cluster at offset {cluster << clusterBits} has a refcount of {count}");
                }

                RefcountEntries.Set(bytes, at, newOrder, count);
            }

            newTable[index] = (ulong)(end + index) << clusterBits;
            await file.WriteAsync((long)newTable[index], bytes, cancellationToken).ConfigureAwait(false);
        }

        var converted = new Refcounts(file, clusterBits, newOrder, newTable, (end + blocks) << clusterBits);
        converted.dirtyEntries = (0, newTable.Length);
        await converted.WriteTableAsync(cancellationToken).ConfigureAwait(false);
        return converted;
    }

    /// <summary>The clusters that hold these counts and nothing else.</summary>
    public IEnumerable<long> OwnClusters() => blockClusters.Concat(
        Enumerable.Range(0, TableClusters).Select(cluster => (TableOffset >> clusterBits) + cluster));

    private bool IsOwn(long cluster) =>
        blockClusters.Contains(cluster)
        || (cluster >= TableOffset >> clusterBits && cluster < (TableOffset >> clusterBits) + TableClusters);

    /// <summary>Blocks and table clusters that count so many clusters and themselves.</summary>
    private (long Blocks, long TableClusters) Measure(long clusters, int newPerBlock)
    {
        var (blocks, tableClusters) = (1L, 1L);
        while (true)
        {
            var neededBlocks = (clusters + blocks + tableClusters + newPerBlock - 1) / newPerBlock;
            var neededTable = ((neededBlocks * 8) + ClusterSize - 1) >> clusterBits;
            if (neededBlocks <= blocks && neededTable <= tableClusters)
            {
                return (blocks, tableClusters);
            }

            blocks = Math.Max(blocks, neededBlocks);
            tableClusters = Math.Max(tableClusters, neededTable);
        }
    }
}
