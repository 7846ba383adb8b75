using System.Buffers;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Copies what lies uncompressed in local files by their runs, inside the kernel.</summary>
/// <remarks>Nobody sees such bytes, so zeroes among them are found by a look at the beginning of each
/// <see cref="BlockBytes"/>: where that is zero the block is read, searched and written as any other. Whole clusters of
/// zeroes are so left out as ever; zeroes behind content in the same block are copied.</remarks>
/// <param name="image">The disk.</param>
/// <param name="sink">Where it goes; takes runs.</param>
/// <param name="start">First guest byte wanted.</param>
/// <param name="end">First guest byte not wanted.</param>
/// <param name="totals">Counters.</param>
internal sealed class RunCopier(DiskImage image, IRunSink sink, long start, long end, DiskReadTotals totals)
{
    private const int BlockBytes = 64 << 10;
    private const int LookBytes = 16;

    /// <summary>Whether everything in a range is uncompressed content of local files.</summary>
    public bool Takes(ReadRange range)
    {
        if (range.ZeroLength > 0 || range.CompressedParts > 0)
        {
            return false;
        }

        foreach (var (extent, _) in range.Parts)
        {
            if (image.Layer(extent.Depth) is not FileBytes file || extent.Offset + extent.Length > file.Length)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Copies a range.</summary>
    /// <returns>Guest bytes handled.</returns>
    public async ValueTask<long> CopyAsync(ReadRange range, CancellationToken cancellationToken)
    {
        using var parts = range;
        var buffer = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            var copied = 0L;
            for (var i = 0; i < range.Parts.Length; i++)
            {
                copied += await CopyAsync(range.Parts[i].Extent, buffer, cancellationToken).ConfigureAwait(false);
            }

            return copied;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async ValueTask<long> CopyAsync(Extent extent, byte[] buffer, CancellationToken cancellationToken)
    {
        var source = (FileBytes)image.Layer(extent.Depth);
        var first = Math.Max(extent.Start, start);
        var length = (int)(Math.Min(extent.End, end) - first);
        var offset = extent.Offset + (first - extent.Start);
        for (var done = 0; done < length;)
        {
            var content = sink.SparseBytes == 0
                ? length - done
                : await ContentAsync(source, offset + done, length - done, buffer, cancellationToken)
                    .ConfigureAwait(false);
            if (content > 0)
            {
                await sink.CopyAsync(first + done, source, offset + done, content, cancellationToken)
                    .ConfigureAwait(false);
                done += content;
            }
            else
            {
                var block = buffer.AsMemory(0, Math.Min(BlockBytes, length - done));
                await ReadAsync(source, offset + done, block, cancellationToken).ConfigureAwait(false);
                await sink.WriteAsync(first + done, block, cancellationToken).ConfigureAwait(false);
                done += block.Length;
            }
        }

        totals.AddFetched(length);
        totals.AddYielded(length);
        return length;
    }

    /// <summary>Bytes up to the first block that begins with zeroes.</summary>
    private static async ValueTask<int> ContentAsync(
        FileBytes source, long offset, int length, byte[] buffer, CancellationToken cancellationToken)
    {
        for (var position = 0; position < length; position += BlockBytes)
        {
            var look = buffer.AsMemory(0, Math.Min(LookBytes, length - position));
            await ReadAsync(source, offset + position, look, cancellationToken).ConfigureAwait(false);
            if (!look.Span.ContainsAnyExcept((byte)0))
            {
                return position;
            }
        }

        return length;
    }

    private static async ValueTask ReadAsync(
        FileBytes source, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (await source.ReadAsync(offset, buffer, cancellationToken).ConfigureAwait(false) < buffer.Length)
        {
            throw new EndOfStreamException($"The image's bytes end before {offset + buffer.Length}.");
        }
    }
}
