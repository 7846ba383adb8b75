using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

internal sealed partial class Refcounts
{
    // An L2 entry has 56 bits for an offset.
    private const long MaxFileBytes = 1L << 56;

    /// <summary>Takes free clusters that lie behind each other, as many as there are, and counts them once.</summary>
    /// <param name="most">Clusters wanted, at least 1.</param>
    /// <param name="cancellationToken">Cancels; nothing is taken then.</param>
    /// <returns>The first one and how many, 1 to <paramref name="most"/>.</returns>
    public async ValueTask<(long First, long Count)> TakeRunAsync(long most, CancellationToken cancellationToken)
    {
        while (true)
        {
            var cluster = await NextFreeAsync(hint, cancellationToken).ConfigureAwait(false);
            hint = cluster;
            var block = await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false);
            if (block is null)
            {
                // An absent block covers only free clusters: it is stored in the first of them and counts itself.
                await AddBlockAsync(cluster / perBlock, cluster, cancellationToken).ConfigureAwait(false);
                continue;
            }

            var at = (int)(cluster % perBlock);
            var end = at;
            while (end < perBlock && end - at < most && RefcountEntries.Get(block.Bytes, end, order) == 0)
            {
                Set(block, end++, 1);
            }

            hint = cluster + end - at;
            return (cluster, end - at);
        }
    }

    /// <summary>Takes exactly so many free clusters behind each other, for a table, and counts them once.</summary>
    /// <param name="count">Clusters wanted, at least 1.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The first one.</returns>
    public async ValueTask<long> TakeAsync(long count, CancellationToken cancellationToken)
    {
        var first = await NextFreeAsync(hint, cancellationToken).ConfigureAwait(false);
        for (var end = first; end < first + count;)
        {
            var free = await NextFreeAsync(end, cancellationToken).ConfigureAwait(false);
            first = free == end ? first : free;
            end = free + 1;
        }

        // Blocks that the run needs and that do not exist are stored behind it, never in its middle.
        for (var index = first / perBlock; index <= (first + count - 1) / perBlock; index++)
        {
            if (BlockOffset(index) == 0)
            {
                await AddBlockOutsideAsync(index, first + count, cancellationToken).ConfigureAwait(false);
            }
        }

        for (var cluster = first; cluster < first + count; cluster++)
        {
            var block = await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false);
            Set(block!, (int)(cluster % perBlock), 1);
        }

        return first;
    }

    /// <summary>The end of the last cluster in use, in clusters.</summary>
    public async ValueTask<long> EndAsync(CancellationToken cancellationToken)
    {
        for (var index = table.Length - 1; index >= 0; index--)
        {
            if (await FindBlockAsync(index, cancellationToken).ConfigureAwait(false) is not { } block)
            {
                continue;
            }

            for (var at = perBlock - 1; at >= 0; at--)
            {
                if (RefcountEntries.Get(block.Bytes, at, order) > 0)
                {
                    return ((long)index * perBlock) + at + 1;
                }
            }
        }

        return 0;
    }

    private async ValueTask<long> NextFreeAsync(long cluster, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (cluster >= MaxFileBytes >> clusterBits)
            {
                throw new DiskOperationException("The image's file cannot grow any more.");
            }

            if (await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false) is not { } block)
            {
                return cluster;
            }

            for (var at = (int)(cluster % perBlock); at < perBlock; at++, cluster++)
            {
                if (RefcountEntries.Get(block.Bytes, at, order) == 0)
                {
                    return cluster;
                }
            }
        }
    }

    private async ValueTask AddBlockOutsideAsync(long index, long from, CancellationToken cancellationToken)
    {
        while (true)
        {
            var cluster = await NextFreeAsync(from, cancellationToken).ConfigureAwait(false);
            if (await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false) is not { } host)
            {
                await AddBlockAsync(cluster / perBlock, cluster, cancellationToken).ConfigureAwait(false);
                if (cluster / perBlock == index)
                {
                    return;
                }

                continue;
            }

            Set(host, (int)(cluster % perBlock), 1);
            await AddBlockAsync(index, cluster, cancellationToken).ConfigureAwait(false);
            return;
        }
    }

    /// <summary>Makes a block of zero counts, stored in a free cluster; counts that cluster where the block covers it
    /// itself.</summary>
    private async ValueTask AddBlockAsync(long index, long cluster, CancellationToken cancellationToken)
    {
        if (index >= table.Length)
        {
            if (index >= MaxTableBytes / 8)
            {
                throw new DiskOperationException(
                    "The image's refcount table is full: use larger clusters or narrower refcounts.");
            }

            // The table grows in memory now and moves to a larger place when it is written.
            Array.Resize(ref table, (int)Math.Min(MaxTableBytes / 8, index + 1));
        }

        await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        table[index] = (ulong)cluster << clusterBits;
        blockClusters.Add(cluster);
        Touch(ref dirtyEntries, (int)index);
        var block = new RefcountBlock((int)index, cluster << clusterBits, new byte[ClusterSize])
        {
            IsDirty = true,
            LastUse = ++clock,
        };
        cache[(int)index] = block;
        if (cluster / perBlock == index)
        {
            Set(block, (int)(cluster % perBlock), 1);
        }
    }

    /// <summary>Finds the grown table a new place.</summary>
    /// <returns>The clusters of the old one, still in use until the header names the new one.</returns>
    private async ValueTask<(long First, long Count)> MoveTableAsync(CancellationToken cancellationToken)
    {
        var old = (TableOffset >> clusterBits, (long)TableClusters);
        while (true)
        {
            // Half as much again, so that a growing file seldom moves its table.
            var wanted = Math.Min(MaxTableBytes, (table.Length * 8L) + (table.Length * 4L));
            var clusters = (wanted + ClusterSize - 1) >> clusterBits;
            var first = await TakeAsync(clusters, cancellationToken).ConfigureAwait(false);
            if (table.Length * 8L > clusters << clusterBits)
            {
                // Counting the table itself took more blocks than it has room for.
                Release(first, clusters);
                continue;
            }

            Array.Resize(ref table, (int)((clusters << clusterBits) / 8));
            TableOffset = first << clusterBits;
            TableClusters = (int)clusters;
            dirtyEntries = (0, table.Length);
            return old;
        }
    }
}
