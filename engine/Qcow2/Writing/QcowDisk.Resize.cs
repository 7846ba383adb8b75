using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    /// <summary>Changes the virtual size.</summary>
    /// <param name="size">New size in bytes, a multiple of 512.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="DiskOperationException">A version 2 image with snapshots cannot be resized, and no image can
    /// grow beyond what its cluster size allows.</exception>
    public ValueTask ResizeAsync(long size, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        ArgumentOutOfRangeException.ThrowIfNotEqual(size & 511, 0);
        return ExclusiveAsync(() => ResizeGuestAsync(size, cancellationToken), cancellationToken);
    }

    /// <summary>Reserves clusters for all of a range that has none, so that later writes change no tables.</summary>
    /// <param name="offset">First guest byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="DiskOperationException">There is a backing file, which whole clusters would hide.</exception>
    public ValueTask PreallocateAsync(long offset, long length, CancellationToken cancellationToken) =>
        ChangeAsync(
            offset, length, () => PreallocateGuestAsync(offset, length, cancellationToken), cancellationToken);

    private async ValueTask ResizeGuestAsync(long size, CancellationToken cancellationToken)
    {
        if (header.SnapshotCount > 0 && header.Version < 3)
        {
            throw new DiskOperationException("A version 2 image with snapshots cannot be resized.");
        }

        var old = VirtualSize;
        if (size == old)
        {
            return;
        }

        var entries = (size + header.L2Coverage - 1) / header.L2Coverage;
        if (entries > MaxL1Bytes / 8)
        {
            throw new DiskOperationException(
                $"Clusters of {ClusterSize} bytes cannot hold {size} bytes: the L1 table would exceed 32 MiB.");
        }

        await ResizeBitmapsAsync(size, cancellationToken).ConfigureAwait(false);
        if (size > old)
        {
            await GrowAsync(old, size, (int)entries, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await ShrinkAsync(old, size, (int)entries, cancellationToken).ConfigureAwait(false);
        }

        if (HasDataFile)
        {
            await content.SetLengthAsync(size, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask GrowAsync(long old, long size, int entries, CancellationToken cancellationToken)
    {
        // What lies behind the old end in its last cluster must not come to light.
        var tail = Math.Min(size, (old + ClusterSize - 1) & -ClusterSize);
        await GrowL1Async(entries, cancellationToken).ConfigureAwait(false);
        header = header with { Size = (ulong)size };
        if (tail > old)
        {
            await WriteZeroesAsync(old, tail, cancellationToken).ConfigureAwait(false);
        }

        // Nor may the longer backing file behind it.
        if (backing is not null && backing.VirtualSize > old)
        {
            var end = Math.Min(size, backing.VirtualSize);
            if (end > tail)
            {
                await ZeroGuestAsync(tail, end - tail, mayUnmap: true, cancellationToken).ConfigureAwait(false);
            }
        }

        await CommitAsync(cancellationToken).ConfigureAwait(false);
        await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask ShrinkAsync(long old, long size, int entries, CancellationToken cancellationToken)
    {
        // First the size, then the space: a crash between leaves clusters that nobody sees.
        header = header with { Size = (ulong)size };
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        var start = (size + ClusterSize - 1) & -ClusterSize;
        await ForClustersAsync(
            start,
            (old + ClusterSize - 1) & -ClusterSize,
            entry => entry.IsAbsent && entry.Host == 0 ? null : ClusterEntry.Absent(isExtended),
            cancellationToken).ConfigureAwait(false);
        for (var i = entries; i < (int)((old + header.L2Coverage - 1) / header.L2Coverage); i++)
        {
            if (new L1Entry(l1[i]).Offset is var table and not 0)
            {
                refcounts.Release(table >> clusterBits, 1);
                SetL1(i, 0);
            }
        }

        await CommitAsync(cancellationToken).ConfigureAwait(false);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        if (!HasDataFile)
        {
            await TruncateFileAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Cuts off what no cluster in use needs.</summary>
    private async ValueTask TruncateFileAsync(CancellationToken cancellationToken)
    {
        var end = await refcounts.EndAsync(cancellationToken).ConfigureAwait(false) << clusterBits;
        if (end < file.Length)
        {
            await file.SetLengthAsync(end, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Gives the L1 table room for more entries, elsewhere in the file where it has none.</summary>
    private async ValueTask GrowL1Async(int entries, CancellationToken cancellationToken)
    {
        if (entries <= l1.Length)
        {
            return;
        }

        await CommitAsync(cancellationToken).ConfigureAwait(false);
        var (oldFirst, oldCount) = ((long)header.L1Offset >> clusterBits, ClustersFor(l1.Length * 8L));
        var grown = new ulong[entries];
        l1.CopyTo(grown, 0);
        if (ClustersFor(entries * 8L) > oldCount)
        {
            var first = await StoreTableAsync(grown, cancellationToken).ConfigureAwait(false);
            await CommitAsync(cancellationToken).ConfigureAwait(false);
            header = header with { L1Offset = (ulong)first << clusterBits };
            refcounts.Release(oldFirst, oldCount);
        }
        else
        {
            await file.WriteAsync((long)header.L1Offset, ToBytes(grown), cancellationToken).ConfigureAwait(false);
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        header = header with { L1Entries = (uint)entries };
        ReplaceL1(grown);
        await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes a table of words to new clusters.</summary>
    /// <returns>The first cluster.</returns>
    private async ValueTask<long> StoreTableAsync(ulong[] words, CancellationToken cancellationToken)
    {
        var bytes = new byte[ClustersFor(words.Length * 8L) << clusterBits];
        ToBytes(words).CopyTo(bytes, 0);
        return await StoreAsync(bytes, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes bytes to new clusters.</summary>
    /// <returns>The first cluster.</returns>
    private async ValueTask<long> StoreAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        var clusters = ClustersFor(bytes.Length);
        var first = await refcounts.TakeAsync(clusters, cancellationToken).ConfigureAwait(false);
        await file.WriteAsync(first << clusterBits, bytes, cancellationToken).ConfigureAwait(false);
        if (file.Length < (first + clusters) << clusterBits)
        {
            await file.SetLengthAsync((first + clusters) << clusterBits, cancellationToken).ConfigureAwait(false);
        }

        return first;
    }

    private long ClustersFor(long bytes) => (bytes + ClusterSize - 1) >> clusterBits;

    private async ValueTask PreallocateGuestAsync(long offset, long length, CancellationToken cancellationToken)
    {
        Refuse(
            backing is not null && !isExtended,
            "Backing file and preallocation can only be used at the same time if extended_l2 is enabled");
        Refuse(IsEncrypted && header.Version < 3, "Encrypted version 2 images cannot reserve space.");
        var end = (offset + length + ClusterSize - 1) & -ClusterSize;
        for (var start = offset & -ClusterSize; start < end;)
        {
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var (l1Index, l2Index) = Locate(start);
            var table = await OwnTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
            var tableEnd = Math.Min(end, (l1Index + 1L) * header.L2Coverage);
            while (start < tableEnd)
            {
                var count = 0;
                var limit = (int)((tableEnd - start) >> clusterBits);
                while (count < limit && IsUnreserved(EntryAt(table, l2Index + count)))
                {
                    count++;
                }

                if (count > 0)
                {
                    count = await ReserveAsync(table, l2Index, start, count, cancellationToken).ConfigureAwait(false);
                }

                count = Math.Max(1, count);
                start += (long)count << clusterBits;
                l2Index += count;
            }
        }
    }

    private static bool IsUnreserved(ClusterEntry entry) => !entry.IsCompressed && entry.Host == 0 && !entry.IsCopied;

    private async ValueTask<int> ReserveAsync(
        L2Table table, int index, long guest, int count, CancellationToken cancellationToken)
    {
        var host = guest;
        if (!HasDataFile)
        {
            var (cluster, taken) = await refcounts.TakeRunAsync(count, cancellationToken).ConfigureAwait(false);
            (host, count) = (cluster << clusterBits, (int)taken);
            var present = Math.Min(file.Length, host + ((long)count << clusterBits));
            if (present > host)
            {
                await file.ZeroAsync(host, present - host, cancellationToken).ConfigureAwait(false);
            }

            await GrowFileAsync(host + ((long)count << clusterBits), cancellationToken).ConfigureAwait(false);
        }

        for (var i = 0; i < count; i++)
        {
            // A subcluster stays unallocated until it is written; a whole cluster is allocated or it is not.
            // Encrypted zeroes would be noise, so there the tables say that it is zero.
            var old = EntryAt(table, index + i);
            var zero = IsEncrypted && !isExtended ? old.AllUnits : old.Zero;
            Replace(table, index + i, ClusterEntry.Standard(
                host + ((long)i << clusterBits), true, isExtended ? 0 : 1u & ~zero, zero, isExtended));
        }

        return count;
    }
}
