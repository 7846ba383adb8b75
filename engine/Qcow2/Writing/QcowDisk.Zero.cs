using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private const int ZeroChunkBytes = 1 << 20;
    private static readonly byte[] Zeroes = new byte[ZeroChunkBytes];

    /// <summary>Whether another file's content shows where this image says nothing, or soon will.</summary>
    private bool ShowsThrough => backing is not null || isRebasing;

    /// <summary>Makes guest bytes zero, without writing them where the tables can say it.</summary>
    /// <param name="offset">First guest byte; offset + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mayUnmap">Whether the space may be given back; else clusters that are there stay reserved.</param>
    /// <param name="cancellationToken">Cancels; how much is zero by then is unspecified.</param>
    /// <exception cref="ImageFormatException">The image is damaged where it would be changed.</exception>
    /// <exception cref="IOException">The file could not be read or written.</exception>
    public ValueTask ZeroAsync(long offset, long length, bool mayUnmap, CancellationToken cancellationToken) =>
        ChangeAsync(
            offset, length, () => ZeroGuestAsync(offset, length, mayUnmap, cancellationToken), cancellationToken);

    /// <summary>Gives back the space of whole clusters, whose content is no longer needed: they read as zeroes
    /// afterwards. Parts of clusters stay as they are, and so does all where a version 2 image cannot say "zero" over
    /// its backing file.</summary>
    /// <param name="offset">First guest byte; offset + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="ImageFormatException">The image is damaged where it would be changed.</exception>
    /// <exception cref="IOException">The file could not be read or written.</exception>
    public ValueTask DiscardAsync(long offset, long length, CancellationToken cancellationToken) =>
        ChangeAsync(
            offset,
            length,
            async () =>
            {
                var mask = ClusterSize - 1L;
                var end = offset + length == VirtualSize ? (VirtualSize + mask) & ~mask : (offset + length) & ~mask;
                var start = (offset + mask) & ~mask;
                if (start >= end)
                {
                    return;
                }

                await BeforeChangeAsync(start, Math.Min(end, VirtualSize) - start, cancellationToken)
                    .ConfigureAwait(false);
                await ZeroDataFileAsync(start, Math.Min(end, VirtualSize), cancellationToken).ConfigureAwait(false);
                await ForClustersAsync(start, end, DiscardedEntry, cancellationToken).ConfigureAwait(false);
            },
            cancellationToken);

    private async ValueTask ZeroGuestAsync(
        long offset, long length, bool mayUnmap, CancellationToken cancellationToken)
    {
        await BeforeChangeAsync(offset, length, cancellationToken).ConfigureAwait(false);
        var end = offset + length;
        var mask = UnitSize - 1L;
        var wholeStart = (offset + mask) & ~mask;
        var wholeEnd = end == VirtualSize ? (end + mask) & ~mask : end & ~mask;
        if (wholeStart >= wholeEnd)
        {
            await WriteZeroesAsync(offset, end, cancellationToken).ConfigureAwait(false);
            return;
        }

        await WriteZeroesAsync(offset, wholeStart, cancellationToken).ConfigureAwait(false);
        await ZeroDataFileAsync(wholeStart, Math.Min(wholeEnd, VirtualSize), cancellationToken).ConfigureAwait(false);
        while (wholeStart < wholeEnd)
        {
            wholeStart = await ZeroUnitsAsync(wholeStart, wholeEnd, mayUnmap, cancellationToken)
                .ConfigureAwait(false);
        }

        await WriteZeroesAsync(wholeEnd, end, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes an external data file zero along with the tables, since it may be read by itself.</summary>
    private async ValueTask ZeroDataFileAsync(long start, long end, CancellationToken cancellationToken)
    {
        if (HasDataFile && end > start)
        {
            await content.ZeroAsync(start, end - start, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Zeroes whole subclusters of one L2 table.</summary>
    /// <returns>Where to go on.</returns>
    private async ValueTask<long> ZeroUnitsAsync(
        long start, long end, bool mayUnmap, CancellationToken cancellationToken)
    {
        await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        var (l1Index, l2Index) = Locate(start);
        var tableEnd = Math.Min(end, (l1Index + 1L) * header.L2Coverage);
        if (!ShowsThrough && new L1Entry(l1[l1Index]).Offset == 0)
        {
            return tableEnd;
        }

        var table = await OwnTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
        for (; start < tableEnd; l2Index++)
        {
            var within = (int)(start & (ClusterSize - 1));
            var stop = Math.Min(tableEnd, start - within + ClusterSize);
            var units = UnitMask(within / UnitSize, (int)((stop - 1) & (ClusterSize - 1)) / UnitSize);
            var entry = EntryAt(table, l2Index);
            if (ZeroedEntry(entry, units, mayUnmap) is { } zeroed)
            {
                Replace(table, l2Index, zeroed);
            }
            else if (!entry.IsAbsent || ShowsThrough)
            {
                await WriteZeroesAsync(start, Math.Min(stop, VirtualSize), cancellationToken).ConfigureAwait(false);
            }

            start = stop;
        }

        return start;
    }

    /// <summary>The entry with some subclusters zero; null where only writing zeroes does it.</summary>
    private ClusterEntry? ZeroedEntry(ClusterEntry entry, uint units, bool mayUnmap)
    {
        var isWhole = units == entry.AllUnits;
        if (header.Version < 3)
        {
            // Without a backing file, absent clusters are zero.
            return !ShowsThrough && isWhole && !HasDataFile ? ClusterEntry.Absent(isExtended) : null;
        }

        if (entry.IsCompressed)
        {
            return isWhole ? ClusterEntry.Standard(0, false, 0, units, isExtended) : null;
        }

        var allocated = entry.Allocated & ~units;
        var isKept = entry.Host != 0 || HasDataFile && entry.IsCopied;
        return isKept && (!mayUnmap || allocated != 0)
            ? ClusterEntry.Standard(entry.Host, entry.IsCopied, allocated, entry.Zero | units, isExtended)
            : ClusterEntry.Standard(0, false, 0, entry.Zero | units, isExtended);
    }

    /// <summary>What becomes of an entry whose cluster is not needed any more; null to leave it.</summary>
    private ClusterEntry? DiscardedEntry(ClusterEntry entry)
    {
        if (header.Version < 3)
        {
            return ShowsThrough ? null : ClusterEntry.Absent(isExtended);
        }

        var isSilent = !ShowsThrough && entry.IsAbsent && entry.Host == 0;
        return isSilent ? null : ClusterEntry.Standard(0, false, 0, entry.AllUnits, isExtended);
    }

    /// <summary>Replaces the entries of whole clusters.</summary>
    private async ValueTask ForClustersAsync(
        long start, long end, Func<ClusterEntry, ClusterEntry?> change, CancellationToken cancellationToken)
    {
        while (start < end)
        {
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var (l1Index, l2Index) = Locate(start);
            var tableEnd = Math.Min(end, (l1Index + 1L) * header.L2Coverage);
            if (new L1Entry(l1[l1Index]).Offset != 0 || change(ClusterEntry.Absent(isExtended)) is not null)
            {
                var table = await OwnTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
                for (; start < tableEnd; start += ClusterSize, l2Index++)
                {
                    if (change(EntryAt(table, l2Index)) is { } entry)
                    {
                        Replace(table, l2Index, entry);
                    }
                }
            }

            start = tableEnd;
        }
    }

    /// <summary>Writes zeroes where the guest does not read them already.</summary>
    private async ValueTask WriteZeroesAsync(long start, long end, CancellationToken cancellationToken)
    {
        while (start < end)
        {
            var (kind, length) = await RunAsync(start, Math.Min(end - start, ZeroChunkBytes), cancellationToken)
                .ConfigureAwait(false);
            if (kind == ExtentKind.Data || (kind == ExtentKind.Hole && ShowsThrough))
            {
                await WriteGuestAsync(start, Zeroes.AsMemory(0, (int)length), cancellationToken)
                    .ConfigureAwait(false);
            }

            start += length;
        }
    }
}
