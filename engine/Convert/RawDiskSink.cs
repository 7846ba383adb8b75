using Registry.Engine.Bytes;

namespace Registry.Engine.Convert;

/// <summary>Writes a disk as it is, sparse: zeroes are not written where the target reads as zeroes anyway.</summary>
/// <remarks>On a target that holds something else (a block device, an existing file) whatever is not written is zeroed
/// at the end, by discarding where the target can.</remarks>
/// <param name="target">Where it goes; stays the caller's.</param>
/// <param name="size">Bytes of the new disk, which may be more than the source's.</param>
/// <param name="targetIsZero">Whether the target reads as zeroes: a new file.</param>
public sealed class RawDiskSink(IByteSink target, long size, bool targetIsZero) : IDiskSink
{
    private readonly RangeSet written = new();
    private bool isSized;

    /// <inheritdoc/>
    public long BytesWritten { get; private set; }

    /// <summary>Whether completing flushes to stable storage.</summary>
    public bool IsDurable { get; init; } = true;

    /// <summary>Bytes of the runs of zeroes that are not written, a power of two; 0 when zeroes are content
    /// too.</summary>
    public int SparseBytes { get; init; } = ZeroBlocks.DefaultBytes;

    /// <summary>Whether a target that is longer than the disk stays as long.</summary>
    public bool KeepsLength { get; init; }

    /// <inheritdoc/>
    public async ValueTask WriteAsync(long guestOffset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(guestOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, size - guestOffset);
        await SizeAsync(cancellationToken).ConfigureAwait(false);
        var position = 0;
        while (position < data.Length)
        {
            position += ZeroBlocks.ZeroRun(data.Span[position..], guestOffset + position, SparseBytes);
            var length = position == data.Length
                ? 0
                : ZeroBlocks.ContentRun(data.Span[position..], guestOffset + position, SparseBytes);
            if (length > 0)
            {
                var piece = data.Slice(position, length);
                await target.WriteAsync(guestOffset + position, piece, cancellationToken).ConfigureAwait(false);
                BytesWritten += length;
                if (!targetIsZero)
                {
                    written.Add(guestOffset + position, guestOffset + position + length);
                }
            }

            position += length;
        }
    }

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(CancellationToken cancellationToken)
    {
        await SizeAsync(cancellationToken).ConfigureAwait(false);
        if (!targetIsZero)
        {
            foreach (var (start, end) in written.Gaps(size))
            {
                await target.ZeroAsync(start, end - start, cancellationToken).ConfigureAwait(false);
            }
        }

        if (IsDurable)
        {
            await target.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask SizeAsync(CancellationToken cancellationToken)
    {
        if (!isSized && !KeepsLength)
        {
            isSized = true;
            await target.SetLengthAsync(size, cancellationToken).ConfigureAwait(false);
        }
    }
}
