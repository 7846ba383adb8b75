using System.Buffers.Binary;

namespace Registry.Engine.Disks;

/// <summary>Writes a disk's extents as a compact map, page by page, in memory of one page.</summary>
/// <param name="header">What the map says of the disk.</param>
/// <param name="emit">Receives the pages in order: 64 KiB each, the last one shorter. The memory is reused
/// afterwards.</param>
public sealed class AllocationMapWriter(
    AllocationMapHeader header, Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> emit)
{
    /// <summary>Compressed clusters put in one record at most.</summary>
    private const int MaxRun = 256;

    private const int RecordsEnd = AllocationMapFormat.PageBytes - AllocationMapFormat.TrailerBytes;

    private readonly byte[] page = new byte[AllocationMapFormat.PageBytes];
    private readonly List<Extent> run = new(MaxRun);
    private AllocationTotals totals;
    private long guest;
    private long written;
    private long storedEnd;
    private int used = -1;

    /// <summary>Writes the whole map of an image, which judges all its tables on the way.</summary>
    /// <param name="image">The image.</param>
    /// <param name="emit">Receives the pages.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="ImageFormatException">The image is malformed or asks for what its limits forbid.</exception>
    public static async ValueTask<AllocationTotals> WriteAsync(
        DiskImage image,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> emit,
        CancellationToken cancellationToken)
    {
        var writer = new AllocationMapWriter(AllocationMapHeader.Of(image), emit);
        await foreach (var extent in image.MapAsync(0, image.VirtualSize, cancellationToken).ConfigureAwait(false))
        {
            await writer.AddAsync(extent, cancellationToken).ConfigureAwait(false);
        }

        return await writer.CompleteAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Adds the next extent.</summary>
    /// <param name="extent">Starts where the last one ended; of depth 0.</param>
    /// <param name="cancellationToken">Cancels handing out a page.</param>
    /// <exception cref="ArgumentException">The extent does not follow the last one, or the header contradicts
    /// it.</exception>
    public async ValueTask AddAsync(Extent extent, CancellationToken cancellationToken)
    {
        if (extent.Start != guest || extent.Length <= 0 || extent.Depth != 0
            || extent.Length > header.VirtualSize - guest
            || (extent.Kind == ExtentKind.Compressed
                && extent.Length != Math.Min(header.ClusterSize, header.VirtualSize - guest)))
        {
            throw new ArgumentException($"The extent {extent} does not continue the map at {guest}.", nameof(extent));
        }

        guest = extent.End;
        totals = totals.With(extent);
        if (extent.Kind == ExtentKind.Compressed)
        {
            run.Add(extent);
            if (run.Count == MaxRun)
            {
                await FlushRunAsync(cancellationToken).ConfigureAwait(false);
            }

            return;
        }

        await FlushRunAsync(cancellationToken).ConfigureAwait(false);
        await ReserveAsync(AllocationMapFormat.MaxRecordBytes, cancellationToken).ConfigureAwait(false);
        Write(((ulong)extent.Length << 2) | (ulong)extent.Kind);
        if (extent.Kind == ExtentKind.Data)
        {
            Write(AllocationMapFormat.ZigZag(extent.Offset - storedEnd));
            storedEnd = extent.Offset + extent.StoredLength;
        }

        written = extent.End;
    }

    /// <summary>Ends the map and hands out its last page.</summary>
    /// <param name="cancellationToken">Cancels handing out a page.</param>
    /// <returns>The sums over all extents.</returns>
    /// <exception cref="InvalidOperationException">The extents do not reach the disk's end.</exception>
    public async ValueTask<AllocationTotals> CompleteAsync(CancellationToken cancellationToken)
    {
        if (guest != header.VirtualSize)
        {
            throw new InvalidOperationException($"The map ends at {guest}, the disk at {header.VirtualSize}.");
        }

        await FlushRunAsync(cancellationToken).ConfigureAwait(false);
        await ReserveAsync(1, cancellationToken).ConfigureAwait(false);
        page[used++] = 0;
        var trailer = page.AsSpan(used, AllocationMapFormat.TrailerBytes);
        BinaryPrimitives.WriteInt64LittleEndian(trailer, totals.AllocatedBytes);
        BinaryPrimitives.WriteInt64LittleEndian(trailer[8..], totals.StoredBytes);
        BinaryPrimitives.WriteInt64LittleEndian(trailer[16..], totals.Extents);
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[24..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[28..], AllocationMapFormat.TrailerMagic);
        await emit(page.AsMemory(0, used + AllocationMapFormat.TrailerBytes), cancellationToken).ConfigureAwait(false);
        return totals;
    }

    private async ValueTask FlushRunAsync(CancellationToken cancellationToken)
    {
        for (var first = 0; first < run.Count;)
        {
            await ReserveAsync(2 * AllocationMapFormat.MaxRecordBytes, cancellationToken).ConfigureAwait(false);
            var room = (RecordsEnd - used - AllocationMapFormat.MaxVarintBytes) / AllocationMapFormat.MaxRecordBytes;
            var count = Math.Min(room, run.Count - first);
            Write(((ulong)count << 2) | (ulong)ExtentKind.Compressed);
            for (var i = first; i < first + count; i++)
            {
                Write(AllocationMapFormat.ZigZag(run[i].Offset - storedEnd));
                Write((ulong)run[i].StoredLength);
                storedEnd = run[i].Offset + run[i].StoredLength;
            }

            first += count;
            written = run[first - 1].End;
        }

        run.Clear();
    }

    /// <summary>Makes room in the page, or begins another one.</summary>
    private async ValueTask ReserveAsync(int bytes, CancellationToken cancellationToken)
    {
        if (used >= 0 && used + bytes <= RecordsEnd)
        {
            return;
        }

        if (used < 0)
        {
            header.WriteTo(page);
            used = AllocationMapFormat.HeadBytes;
        }
        else
        {
            page.AsSpan(used).Clear();
            await emit(page, cancellationToken).ConfigureAwait(false);
            used = 0;
        }

        BinaryPrimitives.WriteInt64LittleEndian(page.AsSpan(used), written);
        BinaryPrimitives.WriteInt64LittleEndian(page.AsSpan(used + 8), storedEnd);
        used += AllocationMapFormat.PageStartBytes;
    }

    private void Write(ulong value) => used += AllocationMapFormat.WriteVarint(page.AsSpan(used), value);
}
