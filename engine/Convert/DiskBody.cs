using System.Buffers;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>A disk as the bytes of a raw or qcow2 file that exists nowhere: any range of it, front to back.</summary>
/// <remarks>For bodies that need an exact length and ranges, without a temporary file.</remarks>
public static class DiskBody
{
    private const int ChunkBytes = 256 << 10;
    private static readonly byte[] Zeroes = new byte[ChunkBytes];

    /// <summary>Emits a range of the disk as a raw file.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="size">Bytes of the file, at least the disk's; what is beyond the disk is zeroes.</param>
    /// <param name="start">First byte.</param>
    /// <param name="length">Bytes; start + length is at most <paramref name="size"/>.</param>
    /// <param name="options">How the disk is read; its range and order are set here.</param>
    /// <param name="emit">Receives the bytes in order; the memory is reused afterwards.</param>
    /// <param name="cancellationToken">Stops.</param>
    public static async ValueTask WriteRawAsync(
        DiskImage image, long size, long start, long length, DiskReadOptions options,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> emit, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(emit);
        CheckRange(start, length, size);
        ArgumentOutOfRangeException.ThrowIfLessThan(size, image.VirtualSize);
        var end = start + length;
        var position = start;
        await foreach (var item in Pieces(image, start, end, options, cancellationToken).ConfigureAwait(false))
        {
            using var piece = item;
            await ZeroAsync(piece.Offset - position, emit, cancellationToken).ConfigureAwait(false);
            await emit(piece.Data, cancellationToken).ConfigureAwait(false);
            position = piece.Offset + piece.Length;
        }

        await ZeroAsync(end - position, emit, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Emits a range of the disk as a qcow2 file.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="layout">The file, laid out for this disk.</param>
    /// <param name="start">First byte of the file.</param>
    /// <param name="length">Bytes; start + length is at most <see cref="QcowLayout.Length"/>.</param>
    /// <param name="options">How the disk is read; its range and order are set here.</param>
    /// <param name="emit">Receives the bytes in order; the memory is reused afterwards.</param>
    /// <param name="cancellationToken">Stops.</param>
    public static async ValueTask WriteQcowAsync(
        DiskImage image, QcowLayout layout, long start, long length, DiskReadOptions options,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> emit, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(emit);
        CheckRange(start, length, layout.Length);
        var end = start + length;
        await MetadataAsync(layout, start, Math.Min(end, layout.MetadataLength), emit, cancellationToken)
            .ConfigureAwait(false);
        var position = Math.Max(start, layout.MetadataLength);
        if (position >= end)
        {
            return;
        }

        // Data clusters lie in guest order, so a range of the file is a range of the disk without what is not
        // allocated.
        var guest = layout.GuestOffset(position);
        var guestEnd = layout.GuestOffset(end - 1) + 1;
        await foreach (var item in Pieces(image, guest, guestEnd, options, cancellationToken).ConfigureAwait(false))
        {
            using var piece = item;
            var at = layout.HostOffset(piece.Offset);
            if (at < position || layout.AllocatedRun(piece.Offset, piece.Length) < piece.Length)
            {
                throw new ArgumentException("The layout was not made for this disk.", nameof(layout));
            }

            await ZeroAsync(at - position, emit, cancellationToken).ConfigureAwait(false);
            await emit(piece.Data, cancellationToken).ConfigureAwait(false);
            position = at + piece.Length;
        }

        await ZeroAsync(end - position, emit, cancellationToken).ConfigureAwait(false);
    }

    private static IAsyncEnumerable<DiskPiece> Pieces(
        DiskImage image, long start, long end, DiskReadOptions options, CancellationToken cancellationToken)
    {
        start = Math.Min(start, image.VirtualSize);
        var part = options with
        {
            Start = start,
            Length = Math.Min(end, image.VirtualSize) - start,
            Order = PieceOrder.Guest,
            YieldZeroes = false,
        };
        return DiskReader.ReadAsync(image, part, cancellationToken);
    }

    private static async ValueTask MetadataAsync(
        QcowLayout layout, long start, long end, Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> emit,
        CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            while (start < end)
            {
                var aligned = start & ~7L;
                var chunk = buffer.AsMemory(0, (int)Math.Min(ChunkBytes, layout.MetadataLength - aligned));
                layout.ReadMetadata(aligned, chunk.Span);
                var part = chunk[(int)(start - aligned)..(int)Math.Min(chunk.Length, end - aligned)];
                await emit(part, cancellationToken).ConfigureAwait(false);
                start += part.Length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async ValueTask ZeroAsync(
        long count, Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> emit, CancellationToken cancellationToken)
    {
        while (count > 0)
        {
            var chunk = (int)Math.Min(count, ChunkBytes);
            await emit(Zeroes.AsMemory(0, chunk), cancellationToken).ConfigureAwait(false);
            count -= chunk;
        }
    }

    private static void CheckRange(long start, long length, long size)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, size - start);
    }
}
