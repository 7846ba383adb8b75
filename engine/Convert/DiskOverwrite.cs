using System.Buffers;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2.Writing;

namespace Registry.Engine.Convert;

/// <summary>How disks are written over another one.</summary>
public sealed record OverwriteOptions
{
    /// <summary>Whether the target reads as zeroes, so that zeroes need no writing.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>How many images of the source's backing chain, from the top, are written: the target has what those
    /// below hold; null for all.</summary>
    public int? OwnDepths { get; init; }

    /// <summary>Whether clusters of a qcow2 target are compressed.</summary>
    public bool Compress { get; init; }

    /// <summary>Bytes of the runs of zeroes that are not written as content, a power of two from 512 on; 0 to write
    /// everything.</summary>
    public int SparseBytes { get; init; } = ZeroBlocks.DefaultBytes;

    /// <summary>Bytes written in a second at most; null for as many as can be.</summary>
    public long? BytesPerSecond { get; init; }

    /// <summary>Told the bytes handled; null when nobody looks.</summary>
    public IProgress<ConvertProgress>? Progress { get; init; }
}

/// <summary>Writes disks over one that exists already: with a backing file, encryption or an external data file, or
/// with content.</summary>
public sealed class DiskOverwrite
{
    private const int ChunkBytes = 1 << 20;

    private readonly IReadOnlyList<DiskPart> parts;
    private readonly IDiskWriter target;
    private readonly OverwriteOptions options;
    private readonly long size;
    private readonly int clusterSize;
    private readonly WritePace pace;
    private long compressedEnd;

    private DiskOverwrite(IReadOnlyList<DiskPart> parts, IDiskWriter target, OverwriteOptions options)
    {
        this.parts = parts;
        this.target = target;
        this.options = options;
        size = DiskPart.Sum(parts);
        pace = new WritePace(options.BytesPerSecond);
        clusterSize = (target as QcowDisk)?.ClusterSize ?? 512;
    }

    /// <summary>Writes disks over another one, from its start.</summary>
    /// <param name="parts">What is written.</param>
    /// <param name="target">The disk that is written over.</param>
    /// <param name="options">What of it is known.</param>
    /// <param name="cancellationToken">Cancels; the target is then unfinished.</param>
    /// <exception cref="DiskOperationException">The target is too small, or cannot be compressed.</exception>
    public static async ValueTask RunAsync(
        IReadOnlyList<DiskPart> parts, IDiskWriter target, OverwriteOptions options,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(parts);
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        if (DiskPart.Sum(parts) > target.VirtualSize)
        {
            throw new DiskOperationException("The target is smaller than what is written to it.");
        }

        if (options.Compress && target is not QcowDisk)
        {
            throw new DiskOperationException("A raw disk cannot be compressed.");
        }

        var buffer = ArrayPool<byte>.Shared.Rent(2 * ChunkBytes);
        try
        {
            await new DiskOverwrite(parts, target, options).RunAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async ValueTask RunAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var place = 0L;
        foreach (var part in parts)
        {
            var shift = place - part.Start;
            await foreach (var run in part.Image.StatusAsync(part.Start, part.Length, cancellationToken)
                .ConfigureAwait(false))
            {
                await CopyAsync(run, shift, buffer, cancellationToken).ConfigureAwait(false);
                options.Progress?.Report(new ConvertProgress(run.Start + run.Length + shift, size));
            }

            place += part.Length;
        }
    }

    private async ValueTask CopyAsync(
        BlockStatus run, long shift, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (run.Depth >= options.OwnDepths)
        {
            return;
        }

        var (start, end) = (run.Start + shift, run.Start + run.Length + shift);
        if (options.SparseBytes > 0 && (run.IsZero || !run.IsData))
        {
            await ZeroAsync(start, end - start, cancellationToken).ConfigureAwait(false);
            return;
        }

        while (start < end)
        {
            var next = options.Compress
                ? await CompressAsync(start, buffer, cancellationToken).ConfigureAwait(false)
                : await WriteAsync(start, Math.Min(end - start, ChunkBytes), buffer, cancellationToken)
                    .ConfigureAwait(false);
            start = next;
        }
    }

    private async ValueTask<long> WriteAsync(
        long start, long length, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var data = buffer[..(int)length];
        await DiskPart.ReadAsync(parts, start, data, cancellationToken).ConfigureAwait(false);
        for (var done = 0; done < data.Length;)
        {
            var zeroes = ZeroBlocks.ZeroRun(data.Span[done..], start + done, options.SparseBytes);
            await ZeroAsync(start + done, zeroes, cancellationToken).ConfigureAwait(false);
            done += zeroes;
            var content = done == data.Length
                ? 0
                : ZeroBlocks.ContentRun(data.Span[done..], start + done, options.SparseBytes);
            if (content > 0)
            {
                await pace.WaitAsync(content, cancellationToken).ConfigureAwait(false);
                await target.WriteAsync(start + done, data.Slice(done, content), cancellationToken)
                    .ConfigureAwait(false);
            }

            done += content;
        }

        return start + length;
    }

    /// <summary>Writes the whole cluster around a byte, once.</summary>
    /// <returns>Its end.</returns>
    private async ValueTask<long> CompressAsync(long at, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var start = at & -(long)clusterSize;
        var end = start + clusterSize;
        if (start < compressedEnd)
        {
            return end;
        }

        compressedEnd = end;
        var data = buffer[..(int)(Math.Min(end, target.VirtualSize) - start)];
        data.Span.Clear();
        await DiskPart.ReadAsync(parts, start, data[..(int)Math.Min(data.Length, size - start)], cancellationToken)
            .ConfigureAwait(false);
        if (data.Span.ContainsAnyExcept((byte)0))
        {
            await pace.WaitAsync(data.Length, cancellationToken).ConfigureAwait(false);
            await ((QcowDisk)target).WriteCompressedAsync(start, data, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await ZeroAsync(start, data.Length, cancellationToken).ConfigureAwait(false);
        }

        return end;
    }

    private ValueTask ZeroAsync(long start, long length, CancellationToken cancellationToken) =>
        options.TargetIsZero || length == 0
            ? ValueTask.CompletedTask
            : target.ZeroAsync(start, length, mayUnmap: true, cancellationToken);
}
