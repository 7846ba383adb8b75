using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Api.Nbd;

/// <summary>An image and what was written over it as one disk. Its bytes lie where the guest sees them.</summary>
/// <param name="export">Both; nobody writes to it any more.</param>
internal sealed class NbdMergedDisk(NbdExport export) : DiskImage
{
    private readonly Content _content = new(export);

    /// <inheritdoc/>
    public override DiskFormat Format => DiskFormat.Raw;

    /// <inheritdoc/>
    public override long VirtualSize => export.Size;

    /// <inheritdoc/>
    public override int ClusterSize => NbdChunk.Bytes;

    /// <inheritdoc/>
    public override IByteSource Layer(int depth) => _content;

    /// <inheritdoc/>
    public override async IAsyncEnumerable<Extent> MapAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        if (length == 0)
        {
            yield break;
        }

        var run = default(Extent);
        await foreach (var extent in export.Disk.Disk.MapAsync(start, length, cancellationToken))
        {
            var end = Math.Min(extent.End, start + length);
            for (var at = Math.Max(extent.Start, start); at < end;)
            {
                var number = at / NbdChunk.Bytes;
                var until = Math.Min(end, (number + 1) * NbdChunk.Bytes);
                var part = Part(at, until - at, export.IsStored(number, extent.IsStored));
                at = until;
                if (run.Length > 0 && run.Kind == part.Kind)
                {
                    run = Part(run.Start, run.Length + part.Length, part.IsStored);
                    continue;
                }

                if (run.Length > 0)
                {
                    yield return run;
                }

                run = part;
            }
        }

        if (run.Length > 0)
        {
            yield return run;
        }
    }

    private static Extent Part(long start, long length, bool isStored) => isStored
        ? new Extent(start, length, ExtentKind.Data, start, length)
        : new Extent(start, length, ExtentKind.Hole);

    /// <summary>The bytes that the guest sees.</summary>
    private sealed class Content(NbdExport export) : IByteSource
    {
        /// <inheritdoc/>
        public long Length => export.Size;

        /// <inheritdoc/>
        public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
        {
            var length = (int)Math.Clamp(Length - offset, 0, buffer.Length);
            for (var done = 0; done < length;)
            {
                var at = offset + done;
                var count = (int)Math.Min(length - done, NbdSlice.MaxBytes - (at % NbdChunk.Bytes));
                using var slice = await export.ReadAsync(at, count, cancellationToken);
                slice.CopyTo(buffer.Span.Slice(done, count));
                done += count;
            }

            return length;
        }

        /// <inheritdoc/>
        public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
            ValueTask.FromResult(new ByteRun(Length - offset, false));

        /// <inheritdoc/>
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
