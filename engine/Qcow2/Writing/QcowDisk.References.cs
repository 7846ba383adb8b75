using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    /// <summary>Refuses what <see cref="AddReferencesAsync"/> could not count to its end.</summary>
    /// <exception cref="DiskOperationException">A count would not fit; nothing has changed.</exception>
    private async ValueTask RequireCountableAsync(ulong[] entries, CancellationToken cancellationToken)
    {
        if (refcounts.Max >= ushort.MaxValue)
        {
            return; // as many snapshots as there may be
        }

        var added = new Dictionary<long, ulong>();
        foreach (var word in entries)
        {
            if (new L1Entry(word).Offset is not (var offset and not 0))
            {
                continue;
            }

            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var table = await tables.GetAsync(offset, cancellationToken).ConfigureAwait(false);
            await AddOneAsync(offset >> clusterBits).ConfigureAwait(false);
            for (var i = 0; i < table.Count; i++)
            {
                var (first, count) = Stored(EntryAt(table, i));
                for (var cluster = first; cluster < first + count; cluster++)
                {
                    await AddOneAsync(cluster).ConfigureAwait(false);
                }
            }
        }

        async ValueTask AddOneAsync(long cluster)
        {
            var more = added[cluster] = added.GetValueOrDefault(cluster) + 1;
            var now = await refcounts.GetAsync(cluster, cancellationToken).ConfigureAwait(false);
            Refuse(
                now + more > refcounts.Max,
                $"The image's refcounts are too narrow: a cluster would have {now + more} references.");
        }
    }

    /// <summary>Counts everything that an L1 table leads to once more.</summary>
    private async ValueTask AddReferencesAsync(ulong[] entries, CancellationToken cancellationToken)
    {
        foreach (var word in entries)
        {
            if (new L1Entry(word).Offset is not (var offset and not 0))
            {
                continue;
            }

            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var table = await tables.GetAsync(offset, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < table.Count; i++)
            {
                if (Stored(EntryAt(table, i)) is { Count: > 0 } run)
                {
                    await refcounts.AddAsync(run.First, run.Count, cancellationToken).ConfigureAwait(false);
                }
            }

            await refcounts.AddAsync(offset >> clusterBits, 1, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Releases everything that an L1 table leads to, once nothing on disk leads to the table.</summary>
    private async ValueTask ReleaseReferencesAsync(ulong[] entries, CancellationToken cancellationToken)
    {
        foreach (var word in entries)
        {
            if (new L1Entry(word).Offset is not (var offset and not 0))
            {
                continue;
            }

            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var table = await tables.GetAsync(offset, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < table.Count; i++)
            {
                if (Stored(EntryAt(table, i)) is { Count: > 0 } run)
                {
                    refcounts.Release(run.First, run.Count);
                }
            }

            refcounts.Release(offset >> clusterBits, 1);
        }
    }

    /// <summary>Makes the "copied" flags of the active disk say what the counts say.</summary>
    private async ValueTask RefreshCopiedAsync(CancellationToken cancellationToken)
    {
        for (var index = 0; index < l1.Length; index++)
        {
            if (new L1Entry(l1[index]).Offset is not (var offset and not 0))
            {
                continue;
            }

            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var table = await tables.GetAsync(offset, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < table.Count && !HasDataFile; i++)
            {
                var entry = EntryAt(table, i);
                if (entry.Host == 0)
                {
                    continue;
                }

                var count = await refcounts.GetAsync(entry.Host >> clusterBits, cancellationToken)
                    .ConfigureAwait(false);
                if (entry.IsCopied != (count == 1))
                {
                    table[i] = entry.WithCopied(count == 1);
                }
            }

            var references = await refcounts.GetAsync(offset >> clusterBits, cancellationToken).ConfigureAwait(false);
            var copied = references == 1 ? L1Entry.Copied : 0;
            if ((l1[index] & L1Entry.Copied) != copied)
            {
                SetL1(index, (ulong)offset | copied);
            }
        }
    }

    /// <summary>The host clusters that an entry holds a reference to.</summary>
    private (long First, long Count) Stored(ClusterEntry entry) => entry.IsCompressed
        ? CompressedClusters(entry)
        : (entry.Host >> clusterBits, entry.Host == 0 || HasDataFile ? 0 : 1);
}
