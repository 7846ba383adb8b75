using System.Buffers;
using Registry.Engine.Crypto;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private async ValueTask WriteGuestAsync(
        long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        await BeforeChangeAsync(offset, data.Length, cancellationToken).ConfigureAwait(false);
        if (cipher is not null && ((offset | (uint)data.Length) & (SectorCipher.SectorBytes - 1)) != 0)
        {
            await WriteWholeSectorsAsync(offset, data, cancellationToken).ConfigureAwait(false);
            return;
        }

        while (data.Length > 0)
        {
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var (l1Index, l2Index) = Locate(offset);
            var table = await OwnTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
            var within = (int)(offset & (ClusterSize - 1));
            int done;
            if (within == 0 && data.Length >= ClusterSize)
            {
                var clusters = Math.Min(data.Length >> clusterBits, table.Count - l2Index);
                done = await WriteClustersAsync(table, l2Index, offset, data[..(clusters << clusterBits)],
                    cancellationToken).ConfigureAwait(false);
            }
            else
            {
                done = Math.Min(data.Length, ClusterSize - within);
                await WritePartAsync(table, l2Index, offset, data[..done], cancellationToken).ConfigureAwait(false);
            }

            offset += done;
            data = data[done..];
        }
    }

    /// <summary>Writes bytes of an encrypted disk, whose sectors are encrypted whole.</summary>
    private async ValueTask WriteWholeSectorsAsync(
        long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        var start = offset & -SectorCipher.SectorBytes;
        var end = (offset + data.Length + SectorCipher.SectorBytes - 1) & -SectorCipher.SectorBytes;
        var rented = ArrayPool<byte>.Shared.Rent((int)(end - start));
        try
        {
            var sectors = rented.AsMemory(0, (int)(end - start));
            await ReadGuestAsync(start, sectors, cancellationToken).ConfigureAwait(false);
            data.CopyTo(sectors[(int)(offset - start)..]);
            await WriteGuestAsync(start, sectors, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>The L2 table of an L1 entry, made or copied so that it may be changed.</summary>
    private async ValueTask<L2Table> OwnTableAsync(int l1Index, CancellationToken cancellationToken)
    {
        var old = await FindTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
        if (old is not null && (l1[l1Index] & L1Entry.Copied) != 0)
        {
            return old;
        }

        var cluster = await refcounts.TakeAsync(1, cancellationToken).ConfigureAwait(false);
        await GrowFileAsync((cluster + 1) << clusterBits, cancellationToken).ConfigureAwait(false);
        var table = tables.Add(cluster << clusterBits, old);
        SetL1(l1Index, L1Entry.Copied | (ulong)table.Offset);
        if (old is not null)
        {
            refcounts.Release(old.Offset >> clusterBits, 1);
        }

        return table;
    }

    /// <summary>Writes whole clusters, as many as are alike: all in place behind each other, or all new.</summary>
    /// <returns>Bytes written.</returns>
    private async ValueTask<int> WriteClustersAsync(
        L2Table table, int index, long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        var most = data.Length >> clusterBits;
        var first = EntryAt(table, index);
        var isInPlace = IsInPlace(first);
        var count = 1;
        while (count < most
            && EntryAt(table, index + count) is var next
            && IsInPlace(next) == isInPlace
            && (!isInPlace || HasDataFile || next.Host == first.Host + ((long)count << clusterBits)))
        {
            count++;
        }

        var host = first.Host;
        if (HasDataFile)
        {
            host = offset;
        }
        else if (!isInPlace)
        {
            (var cluster, var taken) = await refcounts.TakeRunAsync(count, cancellationToken).ConfigureAwait(false);
            (host, count) = (cluster << clusterBits, (int)taken);
        }

        var length = count << clusterBits;
        await WriteHostAsync(host, offset, data[..length], cancellationToken).ConfigureAwait(false);
        for (var i = 0; i < count; i++)
        {
            Replace(table, index + i, ClusterEntry.Standard(
                host + ((long)i << clusterBits), copied: true, first.AllUnits, zero: 0, isExtended));
        }

        return length;
    }

    /// <summary>Writes a part of one cluster; what must be stored along with it is copied.</summary>
    private async ValueTask WritePartAsync(
        L2Table table, int index, long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        var entry = EntryAt(table, index);
        var within = (int)(offset & (ClusterSize - 1));
        var (firstUnit, lastUnit) = (within / UnitSize, (within + data.Length - 1) / UnitSize);
        var written = UnitMask(firstUnit, lastUnit);
        var isInPlace = IsInPlace(entry);
        var kept = isInPlace ? entry.Allocated : 0;
        var copied = isInPlace ? 0 : (entry.IsCompressed ? entry.AllUnits : entry.Allocated) & ~written;
        var host = HasDataFile ? offset - within
            : isInPlace ? entry.Host
            : await refcounts.TakeAsync(1, cancellationToken).ConfigureAwait(false) << clusterBits;
        var clusterStart = offset - within;
        for (var unit = 0; unit < entry.Units; unit++)
        {
            // Runs of subclusters that move to the new cluster as they are.
            var end = unit;
            while (end < entry.Units && (copied >> end & 1) != 0)
            {
                end++;
            }

            if (end > unit)
            {
                await CopyGuestAsync(
                    clusterStart + ((long)unit * UnitSize), (end - unit) * UnitSize, host, cancellationToken)
                    .ConfigureAwait(false);
                unit = end;
            }
        }

        // A subcluster that was not stored so far is stored whole.
        var start = (kept >> firstUnit & 1) != 0 ? within : firstUnit * UnitSize;
        var stop = (kept >> lastUnit & 1) != 0 ? within + data.Length : (lastUnit + 1) * UnitSize;
        await WriteFilledAsync(host, clusterStart, (start, stop), within, data, cancellationToken)
            .ConfigureAwait(false);
        await GrowFileAsync(host + ClusterSize, cancellationToken).ConfigureAwait(false);
        var zero = entry.Zero & ~(written | copied);
        Replace(table, index, ClusterEntry.Standard(host, true, kept | written | copied, zero, isExtended));
    }

    /// <summary>Writes data, with the old content around it up to the given bounds within its cluster.</summary>
    private async ValueTask WriteFilledAsync(
        long host, long clusterStart, (int Start, int End) bounds, int within, ReadOnlyMemory<byte> data,
        CancellationToken cancellationToken)
    {
        var tail = within + data.Length;
        if (bounds.Start == within && bounds.End == tail)
        {
            await WriteHostAsync(host + within, clusterStart + within, data, cancellationToken).ConfigureAwait(false);
            return;
        }

        var rented = ArrayPool<byte>.Shared.Rent(bounds.End - bounds.Start);
        try
        {
            var buffer = rented.AsMemory(0, bounds.End - bounds.Start);
            await ReadOldAsync(
                clusterStart + bounds.Start, buffer[..(within - bounds.Start)], cancellationToken)
                .ConfigureAwait(false);
            data.CopyTo(buffer[(within - bounds.Start)..]);
            await ReadOldAsync(clusterStart + tail, buffer[(tail - bounds.Start)..], cancellationToken)
                .ConfigureAwait(false);
            await WriteHostAsync(host + bounds.Start, clusterStart + bounds.Start, buffer, cancellationToken)
                .ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private async ValueTask CopyGuestAsync(
        long offset, int length, long hostCluster, CancellationToken cancellationToken)
    {
        var rented = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            var buffer = rented.AsMemory(0, length);
            await ReadOldAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
            await WriteHostAsync(
                hostCluster + (offset & (ClusterSize - 1)), offset, buffer, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>Reads guest bytes; past the disk's end they are zeroes.</summary>
    private async ValueTask ReadOldAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var there = (int)Math.Clamp(VirtualSize - offset, 0, buffer.Length);
        await ReadGuestAsync(offset, buffer[..there], cancellationToken).ConfigureAwait(false);
        buffer.Span[there..].Clear();
    }

    private static uint UnitMask(int first, int last) => (uint)((2UL << last) - (1UL << first));

    private bool IsInPlace(ClusterEntry entry) => entry.IsCopied && (entry.Host != 0 || HasDataFile);

    /// <summary>Changes an entry and releases what the old one pointed at.</summary>
    private void Replace(L2Table table, int index, ClusterEntry entry)
    {
        var old = EntryAt(table, index);
        if (old == entry)
        {
            return;
        }

        table[index] = entry;
        if (old.IsCompressed)
        {
            ReleaseCompressed(old);
        }
        else if (old.Host != 0 && old.Host != entry.Host && !HasDataFile)
        {
            refcounts.Release(old.Host >> clusterBits, 1);
        }
    }

    private void ReleaseCompressed(ClusterEntry entry)
    {
        var (first, count) = CompressedClusters(entry);
        refcounts.Release(first, count);
    }

    /// <summary>The host clusters that a compressed cluster's stored sectors touch.</summary>
    private (long First, long Count) CompressedClusters(ClusterEntry entry)
    {
        var word = new L2Entry(entry.Bits);
        var offset = word.CompressedOffset(clusterBits);
        var first = offset >> clusterBits;
        return (first, ((offset + word.CompressedLength(clusterBits) - 1) >> clusterBits) - first + 1);
    }

    private async ValueTask GrowFileAsync(long end, CancellationToken cancellationToken)
    {
        if (!HasDataFile && file.Length < end)
        {
            await file.SetLengthAsync(end, cancellationToken).ConfigureAwait(false);
        }
    }
}
