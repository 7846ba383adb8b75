using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Raw;

/// <summary>A disk stored as it is. Holes are where the source has them.</summary>
/// <remarks>A disk has whole sectors: where the source ends inside one, the rest of it reads as zeroes.</remarks>
/// <param name="source">The disk's bytes; stays the caller's.</param>
public sealed class RawImage(IByteSource source) : DiskImage, IChainLayer
{
    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Raw;

    /// <inheritdoc/>
    public override long VirtualSize { get; } = checked(source.Length + 511) & ~511L;

    /// <inheritdoc/>
    public override int ClusterSize => 512;

    /// <inheritdoc/>
    int IChainLayer.Granularity => 64 << 10;

    /// <inheritdoc/>
    DiskImage IChainLayer.Own => this;

    /// <inheritdoc/>
    IByteSource IChainLayer.OwnBytes => source;

    /// <inheritdoc/>
    public override IByteSource Layer(int depth)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(depth, 0);
        return source;
    }

    /// <inheritdoc/>
    public override async IAsyncEnumerable<Extent> MapAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        var pending = default(Extent);
        for (var (position, end) = (start, start + length); position < end;)
        {
            var run = await RunAsync(position, cancellationToken).ConfigureAwait(false);
            var part = Part(position, Math.Min(end, position + run.Length), run.IsHole);
            position = part.End;
            if (pending.Length > 0 && pending.Kind == part.Kind)
            {
                pending = Part(pending.Start, part.End, run.IsHole);
                continue;
            }

            if (pending.Length > 0)
            {
                yield return pending;
            }

            pending = part;
        }

        if (pending.Length > 0)
        {
            yield return pending;
        }
    }

    /// <inheritdoc/>
    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        CheckRange(offset, buffer.Length);
        var stored = (int)Math.Clamp(source.Length - offset, 0, buffer.Length);
        var read = await source.ReadAsync(offset, buffer[..stored], cancellationToken).ConfigureAwait(false);
        if (read < stored)
        {
            throw new EndOfStreamException($"The image's bytes end before {offset + stored}.");
        }

        buffer.Span[stored..].Clear();
    }

    /// <inheritdoc/>
    long IChainLayer.NextPresent(long from) => from;

    /// <inheritdoc/>
    async ValueTask IChainLayer.AddOwnAsync(
        ChainRequest request, List<Extent> found, CancellationToken cancellationToken)
    {
        // One look at the file serves all ranges that its run covers.
        var (end, isHole) = (0L, false);
        foreach (var range in request.Ranges)
        {
            for (var position = range.Start; position < range.End;)
            {
                if (position >= end)
                {
                    var run = await RunAsync(position, cancellationToken).ConfigureAwait(false);
                    (end, isHole) = (position + run.Length, run.IsHole);
                }

                found.Add(Part(position, Math.Min(end, range.End), isHole));
                position = found[^1].End;
            }
        }
    }

    /// <inheritdoc/>
    protected override async IAsyncEnumerable<BlockStatus> StatusPartsAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var extent in MapAsync(start, length, cancellationToken).ConfigureAwait(false))
        {
            yield return BlockStatus.OfRaw(extent, depth: 0);
        }
    }

    private static Extent Part(long start, long end, bool isHole) => isHole
        ? new Extent(start, end - start, ExtentKind.Hole)
        : new Extent(start, end - start, ExtentKind.Data, start, end - start);

    private async ValueTask<ByteRun> RunAsync(long position, CancellationToken cancellationToken)
    {
        if (position >= source.Length)
        {
            return new ByteRun(VirtualSize - position, IsHole: true);
        }

        var run = await source.RunAsync(position, cancellationToken).ConfigureAwait(false);
        return run.IsHole && position + run.Length == source.Length ? run with { Length = VirtualSize - position } : run;
    }
}
