using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Raw;

namespace Registry.Engine.Qcow2;

/// <summary>The images of a backing chain, seen as one disk.</summary>
/// <remarks>
/// The disk is mapped window by window, from the top down: an image is asked only for what the images above it left
/// open, and not at all where its L1 table has nothing. A pass reads every L2 entry once at most, and holds the extents
/// of one window and the entries of one table, however long the chain is.
/// </remarks>
internal sealed class BackingChain
{
    /// <summary>Runs that a window may fall into.</summary>
    private const int WindowRuns = 16 << 10;

    private const int CacheBytes = 16 << 20;

    private readonly QcowImage top;
    private readonly IChainLayer[] layers;
    private readonly IByteSource[] contents;
    private readonly TableCache cache = new(CacheBytes);

    /// <param name="top">The image that the chain is seen through; its backing images are open.</param>
    public BackingChain(QcowImage top)
    {
        this.top = top;
        var found = new List<IChainLayer>();
        for (DiskImage? image = top; image is not null; image = (image as QcowImage)?.Backing)
        {
            found.Add((IChainLayer)image);
        }

        layers = [.. found];
        contents = [.. found.Select(layer => new OwnContent(layer))];
    }

    /// <summary>The images, the top first.</summary>
    public IReadOnlyList<IChainLayer> Layers => layers;

    /// <summary>The stored bytes of an image, or behind all of these the content of one.</summary>
    public IByteSource Layer(int depth)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(depth);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(depth, layers.Length * 2);
        return depth < layers.Length ? layers[depth].OwnBytes : contents[depth - layers.Length];
    }

    /// <summary>Lists the extents that cover a guest range.</summary>
    /// <param name="start">First guest byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="isExact">Whether runs are told apart as qemu-img tells them apart; then an extent's depth is the
    /// image that decided it, of holes and zeroes too.</param>
    /// <param name="cancellationToken">Cancels the listing.</param>
    public async IAsyncEnumerable<Extent> MapAsync(
        long start, long length, bool isExact, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var windowBytes = layers.Min(layer => (long)layer.Granularity) * WindowRuns;
        var kept = length <= windowBytes / 4 ? cache : null;
        var present = new long[layers.Length];
        var window = new Window();
        var pending = default(Extent);
        for (var (position, end) = (start, start + length); position < end;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var next = WindowEnd(position, end, windowBytes, present);
            await ResolveAsync(window, new GuestRange(position, next), present, isExact, kept, cancellationToken)
                .ConfigureAwait(false);
            position = next;
            foreach (var extent in window.Found)
            {
                if (Continues(pending, extent))
                {
                    pending = pending with
                    {
                        Length = pending.Length + extent.Length,
                        StoredLength = pending.StoredLength + extent.StoredLength,
                    };
                    continue;
                }

                if (pending.Length > 0)
                {
                    yield return pending;
                }

                pending = extent;
            }
        }

        if (pending.Length > 0)
        {
            yield return pending;
        }
    }

    private static bool Continues(Extent before, Extent next) =>
        before.Length > 0 && before.Kind == next.Kind && before.Depth == next.Depth
        && before.Kind != ExtentKind.Compressed
        && (before.Offset < 0 ? next.Offset < 0 : next.Offset == before.Offset + before.Length);

    /// <summary>Where the window ends that starts here: wide where no image has anything.</summary>
    private long WindowEnd(long position, long end, long windowBytes, long[] present)
    {
        var next = Math.Min(end, ((position / windowBytes) + 1) * windowBytes);
        var absentUntil = end;
        for (var depth = 0; depth < layers.Length; depth++)
        {
            if (present[depth] < next && present[depth] <= position)
            {
                present[depth] = position < layers[depth].VirtualSize
                    ? layers[depth].NextPresent(position)
                    : long.MaxValue;
            }

            absentUntil = Math.Min(absentUntil, present[depth]);
        }

        return Math.Max(next, Math.Min(end, absentUntil / windowBytes * windowBytes));
    }

    private async ValueTask ResolveAsync(
        Window window, GuestRange range, long[] present, bool isExact, TableCache? kept,
        CancellationToken cancellationToken)
    {
        window.Begin(range);
        for (var depth = 0; depth < layers.Length && window.Open.Count > 0; depth++)
        {
            var backingSize = depth + 1 < layers.Length ? layers[depth + 1].VirtualSize : 0;
            if (present[depth] >= range.End)
            {
                if (backingSize < window.Open[^1].End)
                {
                    foreach (var open in window.Open)
                    {
                        window.Raw.Add(new Extent(open.Start, open.End - open.Start, ExtentKind.Hole));
                    }
                }
                else
                {
                    continue; // nothing here, and the image below covers it all
                }
            }
            else
            {
                await layers[depth]
                    .AddOwnAsync(
                        new ChainRequest(window.Open, depth, isExact, kept), window.Raw, cancellationToken)
                    .ConfigureAwait(false);
            }

            window.Descend();
            foreach (var extent in window.Raw)
            {
                if (extent.Kind == ExtentKind.Hole && layers[depth] is QcowImage)
                {
                    window.AddHole(extent, backingSize, isExact ? depth : 0);
                }
                else
                {
                    window.Found.Add(isExact ? extent with { Depth = depth } : Placed(extent, depth));
                }
            }

            window.Raw.Clear();
        }

        window.Found.Sort(static (a, b) => a.Start.CompareTo(b.Start));
    }

    /// <summary>An image's extent as one of the chain's.</summary>
    private Extent Placed(Extent extent, int depth)
    {
        switch (extent.Kind)
        {
            case ExtentKind.Data:
                return extent with { Depth = depth };
            case ExtentKind.Compressed when extent.StoredLength >= 0 && IsDecodedAlike(depth):
                return extent with { Depth = depth };
            case ExtentKind.Compressed:
                return extent with
                {
                    Kind = ExtentKind.Data,
                    Offset = extent.Start,
                    StoredLength = extent.Length,
                    Depth = layers.Length + depth,
                };
            default:
                return extent;
        }
    }

    private bool IsDecodedAlike(int depth) =>
        layers[depth] is QcowImage image && image.ClusterSize == top.ClusterSize
        && image.Compression == top.Compression;

    /// <summary>One window of a pass; its lists are used again for the next one.</summary>
    private sealed class Window
    {
        private List<GuestRange> next = [];

        /// <summary>What no image has decided yet.</summary>
        public List<GuestRange> Open { get; private set; } = [];

        /// <summary>What the image at hand says.</summary>
        public List<Extent> Raw { get; } = [];

        /// <summary>What is decided.</summary>
        public List<Extent> Found { get; } = [];

        public void Begin(GuestRange range)
        {
            Found.Clear();
            Open.Clear();
            Open.Add(range);
        }

        /// <summary>Starts on the image below.</summary>
        public void Descend()
        {
            (Open, next) = (next, Open);
            Open.Clear();
        }

        /// <summary>Leaves a hole to the image below, as far as that reaches.</summary>
        public void AddHole(Extent hole, long backingSize, int depth)
        {
            var shared = Math.Clamp(backingSize - hole.Start, 0, hole.Length);
            if (shared > 0 && Open.Count > 0 && Open[^1].End == hole.Start)
            {
                Open[^1] = Open[^1] with { End = hole.Start + shared };
            }
            else if (shared > 0)
            {
                Open.Add(new GuestRange(hole.Start, hole.Start + shared));
            }

            if (shared < hole.Length)
            {
                Found.Add(new Extent(
                    hole.Start + shared, hole.Length - shared, ExtentKind.Hole,
                    hole.Offset < 0 ? -1 : hole.Offset + shared, 0, depth));
            }
        }
    }

    /// <summary>What one image says by itself, by guest offset.</summary>
    private sealed class OwnContent(IChainLayer layer) : IByteSource
    {
        public long Length => layer.VirtualSize;

        public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
        {
            // Only what the image itself stores is ever asked for, so nothing below it is read.
            var length = (int)Math.Clamp(Length - offset, 0, buffer.Length);
            await layer.Own.ReadAsync(offset, buffer[..length], cancellationToken).ConfigureAwait(false);
            return length;
        }

        public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
            new(new ByteRun(Length - offset, IsHole: false));

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
