using System.Buffers;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>One read of a layer, and where in the range's buffer it goes.</summary>
/// <param name="Depth">Which layer is read.</param>
/// <param name="Offset">First stored byte.</param>
/// <param name="Length">Stored bytes.</param>
/// <param name="Position">First byte in the buffer.</param>
internal readonly record struct LayerRead(int Depth, long Offset, int Length, int Position);

/// <summary>A part of the disk that a range brings.</summary>
/// <param name="Extent">The part.</param>
/// <param name="Position">Where its stored bytes begin in the range's buffer.</param>
internal readonly record struct RangePart(Extent Extent, int Position);

/// <summary>What is fetched at a time: a few reads into one buffer and the parts of the disk they bring, or a run of
/// zeroes that needs no reading.</summary>
internal sealed class ReadRange : IDisposable
{
    private RangePart[] parts = [];
    private LayerRead[] reads = [];
    private int partCount;
    private int readCount;

    /// <summary>Stored bytes, all reads together.</summary>
    public int Length { get; private init; }

    /// <summary>Compressed parts among <see cref="Parts"/>.</summary>
    public int CompressedParts { get; private init; }

    /// <summary>First guest byte of a run of zeroes.</summary>
    public long ZeroStart { get; private init; }

    /// <summary>Guest bytes of a run of zeroes; 0 for a read.</summary>
    public long ZeroLength { get; private init; }

    /// <summary>The reads, in the order of the buffer.</summary>
    public ReadOnlyMemory<LayerRead> Reads => reads.AsMemory(0, readCount);

    /// <summary>What is read, in the order it is handed out.</summary>
    public Span<RangePart> Parts => parts.AsSpan(0, partCount);

    public static ReadRange Zeroes(long start, long length) => new() { ZeroStart = start, ZeroLength = length };

    public static ReadRange Of(List<LayerRead> reads, List<RangePart> parts, int length, int compressedParts)
    {
        var range = new ReadRange
        {
            Length = length,
            CompressedParts = compressedParts,
            partCount = parts.Count,
            readCount = reads.Count,
            parts = ArrayPool<RangePart>.Shared.Rent(parts.Count),
            reads = ArrayPool<LayerRead>.Shared.Rent(reads.Count),
        };
        parts.CopyTo(range.parts);
        reads.CopyTo(range.reads);
        return range;
    }

    public void Dispose()
    {
        if (parts.Length > 0)
        {
            ArrayPool<RangePart>.Shared.Return(parts);
            ArrayPool<LayerRead>.Shared.Return(reads);
            (parts, reads) = ([], []);
        }
    }
}

/// <summary>Cuts a disk's map into reads: sorted within a window, neighbours in one read, small gaps read
/// along.</summary>
internal sealed class ReadPlanner : IAsyncDisposable
{
    private readonly DiskImage image;
    private readonly DiskReadOptions options;
    private readonly long end;
    private readonly int maxGap;
    private readonly IAsyncEnumerator<Extent> map;
    private readonly List<Extent> window = [];
    private readonly List<RangePart> parts = [];
    private readonly List<LayerRead> reads = [];
    private Extent rest;
    private int next;

    public ReadPlanner(DiskImage image, DiskReadOptions options, CancellationToken cancellationToken)
    {
        this.image = image;
        this.options = options;
        maxGap = image.Format == DiskFormat.Raw
            ? options.MaxGapBytes
            : Math.Min(options.MaxGapBytes, options.MaxForeignBytes);
        var length = options.Length ?? image.VirtualSize - options.Start;
        end = checked(options.Start + length);
        map = image.MapAsync(options.Start, length, cancellationToken).GetAsyncEnumerator(cancellationToken);
    }

    /// <summary>First guest byte that is handed out.</summary>
    public long Start => options.Start;

    /// <summary>First guest byte that is not handed out.</summary>
    public long End => end;

    /// <summary>The next read; null at the disk's end.</summary>
    public async ValueTask<ReadRange?> NextAsync()
    {
        if (next == window.Count)
        {
            await FillAsync().ConfigureAwait(false);
            if (window.Count == 0)
            {
                return null;
            }
        }

        return window[next].IsStored ? NextRead() : NextZeroes();
    }

    public ValueTask DisposeAsync() => map.DisposeAsync();

    private async ValueTask FillAsync()
    {
        window.Clear();
        next = 0;
        while (window.Count < options.WindowExtents)
        {
            if (rest.Length == 0)
            {
                if (!await map.MoveNextAsync().ConfigureAwait(false))
                {
                    break;
                }

                rest = map.Current;
            }

            TakePart();
        }

        if (options.Order == PieceOrder.Stored)
        {
            window.Sort(
                static (a, b) => a.Depth != b.Depth ? a.Depth.CompareTo(b.Depth) : a.Offset.CompareTo(b.Offset));
        }
    }

    /// <summary>Moves the rest of an extent into the window, or as much of it as one read may bring.</summary>
    private void TakePart()
    {
        if (rest.Kind != ExtentKind.Data || rest.Length <= options.MaxRangeBytes)
        {
            if (rest.IsStored || options.YieldZeroes)
            {
                window.Add(rest);
            }

            rest = default;
            return;
        }

        // Cut where the guest offset is a multiple, so that writes are aligned from the second part on.
        var part = options.MaxRangeBytes - (rest.Start % options.MaxRangeBytes);
        window.Add(rest with { Length = part, StoredLength = part });
        rest = rest with
        {
            Start = rest.Start + part,
            Length = rest.Length - part,
            Offset = rest.Offset + part,
            StoredLength = rest.StoredLength - part,
        };
    }

    private ReadRange NextZeroes()
    {
        var run = window[next++];
        while (next < window.Count && !window[next].IsStored && window[next].Start == run.End)
        {
            run = run with { Length = run.Length + window[next++].Length };
        }

        return ReadRange.Zeroes(run.Start, run.Length);
    }

    private ReadRange NextRead()
    {
        parts.Clear();
        reads.Clear();
        var used = 0;
        var compressed = 0;
        for (; next < window.Count && window[next].IsStored; next++)
        {
            var part = window[next];
            var isCompressed = part.Kind == ExtentKind.Compressed;
            if (isCompressed && parts.Count > 0 && (compressed + 1L) * image.ClusterSize > options.MaxRangeBytes)
            {
                break;
            }

            if (!TryPlace(part, ref used))
            {
                break;
            }

            compressed += isCompressed ? 1 : 0;
        }

        return ReadRange.Of(reads, parts, used, compressed);
    }

    /// <summary>Adds a part to the range that is being planned: to its last read where it is near, or as another
    /// read.</summary>
    private bool TryPlace(Extent part, ref int used)
    {
        var length = Math.Min(part.StoredLength, image.Layer(part.Depth).Length - part.Offset);
        if (reads.Count > 0)
        {
            var last = reads[^1];
            var within = part.Offset - last.Offset;
            if (part.Depth == last.Depth && within >= 0 && within - last.Length <= maxGap)
            {
                var growth = Math.Max(0, within + length - last.Length);
                if (used + growth > options.MaxRangeBytes)
                {
                    return false;
                }

                used += (int)growth;
                reads[^1] = last with { Length = last.Length + (int)growth };
                parts.Add(new RangePart(part, last.Position + (int)within));
                return true;
            }

            if (reads.Count == options.MaxReadsPerRange || used + length > options.MaxRangeBytes)
            {
                return false;
            }
        }

        reads.Add(new LayerRead(part.Depth, part.Offset, checked((int)length), used));
        parts.Add(new RangePart(part, used));
        used += (int)length;
        return true;
    }
}
