using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>A range of a disk. Several, one behind the other, are what a conversion reads.</summary>
/// <param name="Image">The disk.</param>
/// <param name="Start">First guest byte.</param>
/// <param name="Length">Bytes; start + length is at most the disk's size.</param>
public readonly record struct DiskPart(DiskImage Image, long Start, long Length)
{
    /// <summary>A whole disk.</summary>
    public static DiskPart Whole(DiskImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        return new DiskPart(image, 0, image.VirtualSize);
    }

    /// <summary>Bytes of several parts.</summary>
    public static long Sum(IReadOnlyList<DiskPart> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        return parts.Aggregate(0L, static (sum, part) => checked(sum + part.Length));
    }

    /// <summary>Reads a range of several parts. Fills the whole buffer.</summary>
    /// <param name="parts">The parts.</param>
    /// <param name="offset">First byte, counted through all parts.</param>
    /// <param name="buffer">Where the bytes go; offset + its length is at most the <see cref="Sum"/>.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    internal static async ValueTask ReadAsync(
        IReadOnlyList<DiskPart> parts, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        foreach (var part in parts)
        {
            if (offset < part.Length && !buffer.IsEmpty)
            {
                var piece = buffer[..(int)Math.Min(buffer.Length, part.Length - offset)];
                await part.Image.ReadAsync(part.Start + offset, piece, cancellationToken).ConfigureAwait(false);
                buffer = buffer[piece.Length..];
                offset += piece.Length;
            }

            offset -= part.Length;
        }
    }
}

/// <summary>Moves what one part brings to its place in the whole; ending the whole is left to its owner.</summary>
/// <param name="sink">The whole.</param>
/// <param name="shift">Bytes by which offsets grow.</param>
/// <param name="pace">How fast it may go.</param>
internal sealed class ShiftedSink(IDiskSink sink, long shift, WritePace pace) : IRunSink
{
    /// <inheritdoc/>
    public bool TakesRuns => sink is IRunSink { TakesRuns: true };

    /// <inheritdoc/>
    public int SparseBytes => ((IRunSink)sink).SparseBytes;

    /// <inheritdoc/>
    public long BytesWritten => sink.BytesWritten;

    /// <inheritdoc/>
    public async ValueTask WriteAsync(long guestOffset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        await pace.WaitAsync(data.Length, cancellationToken).ConfigureAwait(false);
        await sink.WriteAsync(checked(guestOffset + shift), data, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask CopyAsync(
        long guestOffset, FileBytes source, long offset, int length, CancellationToken cancellationToken)
    {
        await pace.WaitAsync(length, cancellationToken).ConfigureAwait(false);
        await ((IRunSink)sink).CopyAsync(checked(guestOffset + shift), source, offset, length, cancellationToken)
            .ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask CompleteAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
}
