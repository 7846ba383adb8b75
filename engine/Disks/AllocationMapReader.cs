using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>Reads a stored allocation map, from its start or from anywhere. Trusts nothing in it.</summary>
public sealed class AllocationMapReader
{
    /// <summary>Pages brought in by one read where a long range is asked for.</summary>
    private const int PagesAhead = 16;

    /// <summary>Guest bytes from which on a range counts as long.</summary>
    private const long LongRangeBytes = 1L << 30;

    private readonly IByteSource map;
    private readonly int pages;
    private readonly long[] pageStarts;
    private Page? lastPage;

    private AllocationMapReader(IByteSource map, AllocationMapHeader header, AllocationTotals totals)
    {
        this.map = map;
        Header = header;
        Totals = totals;
        pages = (int)((map.Length + AllocationMapFormat.PageBytes - 1) / AllocationMapFormat.PageBytes);
        pageStarts = new long[pages];
        Array.Fill(pageStarts, -1);
        pageStarts[0] = 0;
    }

    /// <summary>What the map says of its disk.</summary>
    public AllocationMapHeader Header { get; }

    /// <summary>The sums the writer made; a claim, not checked against the extents.</summary>
    public AllocationTotals Totals { get; }

    /// <summary>Opens a map: reads its head and its trailer.</summary>
    /// <param name="map">The map's bytes; stay the caller's.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The bytes are not a map.</exception>
    public static async ValueTask<AllocationMapReader> OpenAsync(IByteSource map, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(map);
        const int Least = AllocationMapFormat.HeadBytes + AllocationMapFormat.PageStartBytes + 1
            + AllocationMapFormat.TrailerBytes;
        if (map.Length < Least || map.Length / AllocationMapFormat.PageBytes > int.MaxValue / 2)
        {
            throw new ImageFormatException(FormatError.Truncated, "The allocation map has an impossible length.");
        }

        var bytes = new byte[AllocationMapFormat.HeadBytes + AllocationMapFormat.TrailerBytes];
        var trailer = bytes.AsMemory(AllocationMapFormat.HeadBytes);
        await ReadAsync(map, 0, bytes.AsMemory(0, AllocationMapFormat.HeadBytes), cancellationToken)
            .ConfigureAwait(false);
        var header = AllocationMapHeader.Parse(bytes);
        await ReadAsync(map, map.Length - trailer.Length, trailer, cancellationToken).ConfigureAwait(false);
        return new AllocationMapReader(map, header, ParseTrailer(trailer.Span));
    }

    /// <summary>Lists extents as <see cref="DiskImage.MapAsync"/> does.</summary>
    /// <param name="start">First guest byte.</param>
    /// <param name="length">Length in bytes; the range lies in the disk.</param>
    /// <param name="cancellationToken">Cancels the listing.</param>
    /// <exception cref="ImageFormatException">The map is malformed where it was read.</exception>
    public async IAsyncEnumerable<Extent> ReadAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var end = checked(start + length);
        if (length <= 0)
        {
            yield break;
        }

        var index = await FindPageAsync(start, cancellationToken).ConfigureAwait(false);
        var position = Volatile.Read(ref pageStarts[index]);
        var extents = new List<Extent>();
        while (position < end)
        {
            if (index >= pages)
            {
                throw AllocationMapFormat.Malformed("it ends before the disk does.");
            }

            var page = await PageAsync(index, length >= LongRangeBytes ? PagesAhead : 1, cancellationToken)
                .ConfigureAwait(false);
            for (; index < page.Index + page.Count && position < end; index++)
            {
                extents.Clear();
                position = Decode(page.Of(index), index, position, extents);
                foreach (var extent in extents)
                {
                    if (extent.End > start && extent.Start < end)
                    {
                        yield return Clip(extent, start, end);
                    }
                }
            }
        }
    }

    private static Extent Clip(in Extent extent, long start, long end)
    {
        if (extent.Kind == ExtentKind.Compressed || (extent.Start >= start && extent.End <= end))
        {
            return extent;
        }

        var skip = Math.Max(0, start - extent.Start);
        var length = Math.Min(extent.End, end) - extent.Start - skip;
        return extent.Kind == ExtentKind.Data
            ? new Extent(extent.Start + skip, length, extent.Kind, extent.Offset + skip, length)
            : new Extent(extent.Start + skip, length, extent.Kind);
    }

    private static AllocationTotals ParseTrailer(ReadOnlySpan<byte> trailer)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(trailer[28..]) != AllocationMapFormat.TrailerMagic)
        {
            throw new ImageFormatException(FormatError.Truncated, "The allocation map has no end.");
        }

        return new AllocationTotals(
            AllocatedBytes: BinaryPrimitives.ReadInt64LittleEndian(trailer),
            StoredBytes: BinaryPrimitives.ReadInt64LittleEndian(trailer[8..]),
            Extents: BinaryPrimitives.ReadInt64LittleEndian(trailer[16..]));
    }

    private static async ValueTask ReadAsync(
        IByteSource map, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (await map.ReadAsync(offset, buffer, cancellationToken).ConfigureAwait(false) < buffer.Length)
        {
            throw new EndOfStreamException("The allocation map's bytes end early.");
        }
    }

    /// <summary>Where the page's first byte after a file head is.</summary>
    private static int StartOf(int index) => index == 0 ? AllocationMapFormat.HeadBytes : 0;

    /// <summary>The page that holds a guest offset: the last one that starts at or before it.</summary>
    private async ValueTask<int> FindPageAsync(long guest, CancellationToken cancellationToken)
    {
        var low = 0;
        var high = pages - 1;
        while (low < high)
        {
            var middle = low + ((high - low + 1) / 2);
            if (Volatile.Read(ref pageStarts[middle]) < 0)
            {
                var bytes = new byte[sizeof(long)];
                await ReadAsync(map, (long)middle * AllocationMapFormat.PageBytes, bytes, cancellationToken)
                    .ConfigureAwait(false);
                var first = BinaryPrimitives.ReadInt64LittleEndian(bytes);
                if (first < 0 || first > Header.VirtualSize)
                {
                    throw AllocationMapFormat.Malformed("a page starts outside the disk.");
                }

                Volatile.Write(ref pageStarts[middle], first);
            }

            if (Volatile.Read(ref pageStarts[middle]) <= guest)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }

    private async ValueTask<Page> PageAsync(int index, int ahead, CancellationToken cancellationToken)
    {
        var kept = Volatile.Read(ref lastPage);
        if (kept is not null && kept.Index <= index && index < kept.Index + kept.Count)
        {
            return kept;
        }

        var count = Math.Min(ahead, pages - index);
        var offset = (long)index * AllocationMapFormat.PageBytes;
        var bytes = new byte[(int)Math.Min((long)count * AllocationMapFormat.PageBytes, map.Length - offset)];
        await ReadAsync(map, offset, bytes, cancellationToken).ConfigureAwait(false);
        var page = new Page(index, count, bytes);
        if (count == 1)
        {
            Volatile.Write(ref lastPage, page);
        }

        return page;
    }

    /// <summary>Decodes one page.</summary>
    /// <returns>The guest offset after its last extent.</returns>
    private long Decode(ReadOnlySpan<byte> page, int index, long expected, List<Extent> extents)
    {
        var at = StartOf(index);
        var isLast = index == pages - 1;
        if (isLast)
        {
            if (page.Length < at + AllocationMapFormat.PageStartBytes + AllocationMapFormat.TrailerBytes)
            {
                throw AllocationMapFormat.Malformed("its last page is too short.");
            }

            page = page[..^AllocationMapFormat.TrailerBytes];
        }

        var guest = BinaryPrimitives.ReadInt64LittleEndian(page[at..]);
        var storedEnd = BinaryPrimitives.ReadInt64LittleEndian(page[(at + 8)..]);
        at += AllocationMapFormat.PageStartBytes;
        if (guest != expected)
        {
            throw AllocationMapFormat.Malformed("a page does not continue the one before.");
        }

        while (at < page.Length)
        {
            var tag = AllocationMapFormat.ReadVarint(page, ref at);
            if (tag == 0)
            {
                break;
            }

            var value = (long)(tag >> 2);
            var kind = (ExtentKind)(tag & 3);
            if (value <= 0)
            {
                throw AllocationMapFormat.Malformed("a record is empty.");
            }

            for (var left = kind == ExtentKind.Compressed ? value : 1; left > 0; left--)
            {
                var extent = Record(page, ref at, kind, guest, value, ref storedEnd);
                extents.Add(extent);
                guest = extent.End;
            }
        }

        return !isLast || guest == Header.VirtualSize
            ? guest
            : throw AllocationMapFormat.Malformed("it ends before the disk does.");
    }

    private Extent Record(
        ReadOnlySpan<byte> page, ref int at, ExtentKind kind, long guest, long value, ref long storedEnd)
    {
        var left = Header.VirtualSize - guest;
        var length = kind == ExtentKind.Compressed ? Math.Min(Header.ClusterSize, left) : value;
        if (length <= 0 || length > left)
        {
            throw AllocationMapFormat.Malformed("an extent ends outside the disk.");
        }

        if (kind is ExtentKind.Hole or ExtentKind.Zero)
        {
            return new Extent(guest, length, kind);
        }

        var delta = AllocationMapFormat.UnZigZag(AllocationMapFormat.ReadVarint(page, ref at));
        var offset = unchecked(storedEnd + delta);
        var stored = kind == ExtentKind.Data ? length : (long)AllocationMapFormat.ReadVarint(page, ref at);
        var isSane = kind == ExtentKind.Data
            ? offset >= 0 && stored <= Header.StoredLength && offset <= Header.StoredLength - stored
            : offset >= 0 && offset < Header.StoredLength && stored >= 1 && stored <= 2L * Header.ClusterSize
                && Header.Compression != ClusterCompression.None;
        if (!isSane)
        {
            throw AllocationMapFormat.Malformed("an extent is stored outside the image.");
        }

        storedEnd = offset + stored;
        return new Extent(guest, length, kind, offset, stored);
    }

    /// <summary>One or several pages as they are stored.</summary>
    private sealed record Page(int Index, int Count, byte[] Bytes)
    {
        public ReadOnlySpan<byte> Of(int index)
        {
            var offset = (index - Index) * AllocationMapFormat.PageBytes;
            return Bytes.AsSpan(offset, Math.Min(AllocationMapFormat.PageBytes, Bytes.Length - offset));
        }
    }
}
