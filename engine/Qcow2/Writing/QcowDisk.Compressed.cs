using System.Buffers;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    /// <summary>Where the next compressed cluster goes; 0 when a new host cluster is needed.</summary>
    private long packing;

    /// <summary>Writes one cluster compressed. Stored plainly where it does not get smaller, or where the image already
    /// has a cluster of its own for it.</summary>
    /// <param name="offset">First guest byte, a multiple of the cluster size.</param>
    /// <param name="data">One cluster; less only where the disk ends.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="DiskOperationException">The image has an external data file or is encrypted: neither can hold
    /// compressed clusters.</exception>
    /// <exception cref="ArgumentException">Not a whole cluster.</exception>
    public ValueTask WriteCompressedAsync(
        long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if ((offset & (ClusterSize - 1)) != 0
            || data.Length > ClusterSize
            || (data.Length < ClusterSize && offset + data.Length != VirtualSize))
        {
            throw new ArgumentException("Only whole clusters are written compressed.", nameof(data));
        }

        if (HasDataFile || IsEncrypted)
        {
            throw new DiskOperationException(
                "Images with an external data file or encryption cannot hold compressed clusters.");
        }

        return ChangeAsync(
            offset,
            data.Length,
            async () =>
            {
                var stored = ArrayPool<byte>.Shared.Rent(ClusterSize);
                var cluster = ArrayPool<byte>.Shared.Rent(ClusterSize);
                try
                {
                    data.CopyTo(cluster);
                    cluster.AsSpan(data.Length, ClusterSize - data.Length).Clear();
                    var length = ClusterCodec.Encode(
                        header.Compression, cluster.AsSpan(0, ClusterSize), stored.AsSpan(0, ClusterSize - 1));
                    if (length == 0)
                    {
                        await WriteGuestAsync(offset, data, cancellationToken).ConfigureAwait(false);
                    }
                    else
                    {
                        await WriteStoredAsync(offset, data, stored.AsMemory(0, length), cancellationToken)
                            .ConfigureAwait(false);
                    }
                }
                finally
                {
                    ArrayPool<byte>.Shared.Return(stored);
                    ArrayPool<byte>.Shared.Return(cluster);
                }
            },
            cancellationToken);
    }

    private async ValueTask WriteStoredAsync(
        long offset, ReadOnlyMemory<byte> data, ReadOnlyMemory<byte> stored, CancellationToken cancellationToken)
    {
        await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        var (l1Index, l2Index) = Locate(offset);
        var table = await OwnTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
        if (IsInPlace(EntryAt(table, l2Index)))
        {
            await WriteGuestAsync(offset, data, cancellationToken).ConfigureAwait(false);
            return;
        }

        await BeforeChangeAsync(offset, data.Length, cancellationToken).ConfigureAwait(false);
        var host = await PackAsync(stored.Length, cancellationToken).ConfigureAwait(false);
        await CheckTargetAsync(host, stored.Length, cancellationToken).ConfigureAwait(false);
        await file.WriteAsync(host, stored, cancellationToken).ConfigureAwait(false);
        await GrowFileAsync(((host + stored.Length - 1) | (ClusterSize - 1L)) + 1, cancellationToken)
            .ConfigureAwait(false);
        Replace(table, l2Index, ClusterEntry.Compressed(host, stored.Length, clusterBits, isExtended));
    }

    /// <summary>Finds a place for compressed bytes, beside others where they fit, and counts it.</summary>
    private async ValueTask<long> PackAsync(int length, CancellationToken cancellationToken)
    {
        var room = packing == 0 ? 0 : ClusterSize - (int)(packing & (ClusterSize - 1));
        var canShare = room > 0
            && await refcounts.CanAddAsync(packing >> clusterBits, cancellationToken).ConfigureAwait(false);
        var place = packing;
        if (!canShare || room < length)
        {
            var cluster = await refcounts.TakeAsync(1, cancellationToken).ConfigureAwait(false);
            if (!canShare || cluster << clusterBits != packing + room)
            {
                place = cluster << clusterBits;
                packing = place + length;
                return place;
            }
        }

        // The end of the last cluster is used too (and the new one, where they are neighbours).
        await refcounts.AddAsync(place >> clusterBits, 1, cancellationToken).ConfigureAwait(false);
        packing = ((place + length) & (ClusterSize - 1)) == 0 ? 0 : place + length;
        return place;
    }
}
