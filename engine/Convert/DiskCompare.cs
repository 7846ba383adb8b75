using System.Buffers;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>What comparing two disks found.</summary>
/// <param name="IsIdentical">Whether a guest would see the same.</param>
/// <param name="Offset">First guest byte that differs; -1 when none does.</param>
/// <param name="SizesDiffer">Whether the virtual sizes differ. Where the longer disk's tail is zeroes they are still
/// identical.</param>
public readonly record struct DiskComparison(bool IsIdentical, long Offset, bool SizesDiffer);

/// <summary>Compares what two disks hold, whatever their formats.</summary>
public static class DiskCompare
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Finds the first difference. Where one disk is longer, its tail must read as zeroes.</summary>
    /// <param name="a">One disk.</param>
    /// <param name="b">The other.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="ImageFormatException">An image is malformed where it was read.</exception>
    /// <exception cref="IOException">A layer could not be read.</exception>
    public static ValueTask<DiskComparison> CompareAsync(
        DiskImage a, DiskImage b, CancellationToken cancellationToken) =>
        CompareAsync(a, b, null, cancellationToken);

    /// <summary>Finds the first difference. Where one disk is longer, its tail must read as zeroes.</summary>
    /// <param name="a">One disk.</param>
    /// <param name="b">The other.</param>
    /// <param name="progress">Told the bytes compared; null when nobody looks.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="ImageFormatException">An image is malformed where it was read.</exception>
    /// <exception cref="IOException">A layer could not be read.</exception>
    public static async ValueTask<DiskComparison> CompareAsync(
        DiskImage a, DiskImage b, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        var shared = Math.Min(a.VirtualSize, b.VirtualSize);
        var longer = a.VirtualSize > b.VirtualSize ? a : b;
        var difference = await CompareSharedAsync(a, b, shared, progress, cancellationToken).ConfigureAwait(false);
        if (difference < 0 && longer.VirtualSize > shared)
        {
            difference = await FirstContentAsync(longer, shared, cancellationToken).ConfigureAwait(false);
        }

        return new DiskComparison(difference < 0, difference, a.VirtualSize != b.VirtualSize);
    }

    /// <summary>Finds the first byte of which one disk says something else than the other: that it is stored, known to
    /// be zero, or nowhere allocated. What the bytes are is not looked at.</summary>
    /// <param name="a">One disk.</param>
    /// <param name="b">The other, of the same size.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>The guest byte; -1 where both say the same of all.</returns>
    public static async ValueTask<long> FirstStatusDifferenceAsync(
        DiskImage a, DiskImage b, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        ArgumentOutOfRangeException.ThrowIfNotEqual(b.VirtualSize, a.VirtualSize);
        var left = a.StatusAsync(0, a.VirtualSize, cancellationToken).GetAsyncEnumerator(cancellationToken);
        await using var leftScope = left.ConfigureAwait(false);
        var right = b.StatusAsync(0, b.VirtualSize, cancellationToken).GetAsyncEnumerator(cancellationToken);
        await using var rightScope = right.ConfigureAwait(false);
        for (long position = 0; position < a.VirtualSize;)
        {
            if (left.Current.Start + left.Current.Length <= position)
            {
                await left.MoveNextAsync().ConfigureAwait(false);
            }

            if (right.Current.Start + right.Current.Length <= position)
            {
                await right.MoveNextAsync().ConfigureAwait(false);
            }

            var (one, other) = (left.Current, right.Current);
            if (Flags(one) != Flags(other))
            {
                return position;
            }

            position = Math.Min(one.Start + one.Length, other.Start + other.Length);
        }

        return -1;

        static (bool, bool, bool, bool) Flags(BlockStatus status) =>
            (status.IsPresent, status.IsData, status.IsZero, status.Offset >= 0);
    }

    private static async ValueTask<long> CompareSharedAsync(
        DiskImage a, DiskImage b, long length, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        var left = new StoredRuns(a, length, cancellationToken);
        await using var leftScope = left.ConfigureAwait(false);
        var right = new StoredRuns(b, length, cancellationToken);
        await using var rightScope = right.ConfigureAwait(false);
        var leftBuffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        var rightBuffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            for (long position = 0; position < length;)
            {
                // Where neither stores anything, both are zeroes; the next place where one does is where to look.
                var next = Math.Min(
                    await left.NextAsync(position).ConfigureAwait(false),
                    await right.NextAsync(position).ConfigureAwait(false));
                position = Math.Max(position, next);
                var chunk = (int)Math.Min(ChunkBytes, length - position);
                if (chunk <= 0)
                {
                    break;
                }

                var readLeft = a.ReadAsync(position, leftBuffer.AsMemory(0, chunk), cancellationToken).AsTask();
                var readRight = b.ReadAsync(position, rightBuffer.AsMemory(0, chunk), cancellationToken).AsTask();
                await Task.WhenAll(readLeft, readRight).ConfigureAwait(false);
                var equal = leftBuffer.AsSpan(0, chunk).CommonPrefixLength(rightBuffer.AsSpan(0, chunk));
                if (equal < chunk)
                {
                    return position + equal;
                }

                position += chunk;
                progress?.Report(position);
            }

            return -1;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(leftBuffer);
            ArrayPool<byte>.Shared.Return(rightBuffer);
        }
    }

    private static async ValueTask<long> FirstContentAsync(
        DiskImage disk, long start, CancellationToken cancellationToken)
    {
        var options = new DiskReadOptions { Start = start, Order = PieceOrder.Guest };
        await foreach (var item in DiskReader.ReadAsync(disk, options, cancellationToken).ConfigureAwait(false))
        {
            using var piece = item;
            var content = piece.Data.Span.IndexOfAnyExcept((byte)0);
            if (content >= 0)
            {
                return piece.Offset + content;
            }
        }

        return -1;
    }

    /// <summary>Walks the stored runs of a disk, forward only.</summary>
    private sealed class StoredRuns(DiskImage disk, long length, CancellationToken cancellationToken) : IAsyncDisposable
    {
        private readonly IAsyncEnumerator<Extent> map =
            disk.MapAsync(0, length, cancellationToken).GetAsyncEnumerator(cancellationToken);

        private Extent current;

        /// <summary>The first stored guest byte at or after <paramref name="position"/>; the end when there is
        /// none.</summary>
        public async ValueTask<long> NextAsync(long position)
        {
            while (!current.IsStored || current.End <= position)
            {
                if (!await map.MoveNextAsync().ConfigureAwait(false))
                {
                    return length;
                }

                current = map.Current;
            }

            return Math.Max(position, current.Start);
        }

        public ValueTask DisposeAsync() => map.DisposeAsync();
    }
}
