using Registry.Engine.Bytes;

namespace Registry.Engine.Convert;

/// <summary>Writes a disk as it is, sparse: zeroes are not written where the target reads as zeroes anyway.</summary>
/// <remarks>On a target that holds something else (a block device, an existing file) whatever is not written is zeroed
/// at the end, by discarding where the target can.</remarks>
/// <param name="target">Where it goes; stays the caller's.</param>
/// <param name="size">Bytes of the new disk, which may be more than the source's.</param>
/// <param name="targetIsZero">Whether the target reads as zeroes: a new file.</param>
public sealed class RawDiskSink(IByteSink target, long size, bool targetIsZero) : IRunSink
{
    private readonly RangeSet written = new();
    private bool isSized;

    /// <inheritdoc/>
    public long BytesWritten { get; private set; }

    /// <summary>Whether completing flushes to stable storage.</summary>
    public bool IsDurable { get; init; } = true;

    /// <inheritdoc/>
    public int SparseBytes { get; init; } = ZeroBlocks.DefaultBytes;

    /// <summary>Whether every run of zeroes is found, so that nothing is copied unseen.</summary>
    public bool FindsAllZeroes { get; init; }

    /// <inheritdoc/>
    public bool TakesRuns => target is FileBytes && !(FindsAllZeroes && SparseBytes > 0);

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
                Note(guestOffset + position, length);
            }

            position += length;
        }
    }

    /// <inheritdoc/>
    public async ValueTask CopyAsync(
        long guestOffset, FileBytes source, long offset, int length, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegative(guestOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, size - guestOffset);
        await SizeAsync(cancellationToken).ConfigureAwait(false);
        await source.CopyToAsync(offset, (FileBytes)target, guestOffset, length, cancellationToken)
            .ConfigureAwait(false);
        Note(guestOffset, length);
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

    private void Note(long guestOffset, int length)
    {
        BytesWritten += length;
        if (!targetIsZero)
        {
            written.Add(guestOffset, guestOffset + length);
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
