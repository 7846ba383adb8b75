using System.Runtime.CompilerServices;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Guest bytes in which a disk differs from another.</summary>
/// <param name="Start">First guest byte.</param>
/// <param name="Length">Guest bytes.</param>
/// <param name="IsZero">Whether all of them are zero now.</param>
public readonly record struct ChangedRun(long Start, long Length, bool IsZero);

/// <summary>Finds what changed from one disk to another, whatever their formats.</summary>
/// <remarks>
/// <code>
///   disk   ->  pieces in guest order  \
///                                      walked side by side  ->  blocks that differ  ->  runs
///   since  ->  pieces in guest order  /
/// </code>
/// Content counts, not how it is stored: a block rewritten with what it held is no change. Where neither disk stores
/// anything nothing is read.
/// </remarks>
public static class DiskChanges
{
    /// <summary>Bytes of the blocks that are told as changed or not.</summary>
    public const int BlockBytes = 64 << 10;

    /// <summary>Finds the blocks of <paramref name="disk"/> that <paramref name="since"/> does not hold alike.</summary>
    /// <param name="disk">The newer disk.</param>
    /// <param name="since">The older one. Behind its end it counts as zeroes; what it has behind the newer one's end is
    /// not looked at.</param>
    /// <param name="options">How both are read; their range and order are set here.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>Ascending runs of whole blocks, the last one ending with the disk; neighbours of one kind are
    /// one.</returns>
    /// <exception cref="ImageFormatException">An image is malformed where it was read.</exception>
    /// <exception cref="IOException">A layer could not be read.</exception>
    public static async IAsyncEnumerable<ChangedRun> FindAsync(
        DiskImage disk, DiskImage since, DiskReadOptions options,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(disk);
        ArgumentNullException.ThrowIfNull(since);
        ArgumentNullException.ThrowIfNull(options);
        var end = disk.VirtualSize;
        var newer = new GuestCursor(disk, end, options, cancellationToken);
        await using var newerScope = newer.ConfigureAwait(false);
        var older = new GuestCursor(since, Math.Min(end, since.VirtualSize), options, cancellationToken);
        await using var olderScope = older.ConfigureAwait(false);
        var blocks = new ChangedBlocks();
        for (var position = 0L; position < end;)
        {
            var now = await newer.AtAsync(position).ConfigureAwait(false);
            var then = await older.AtAsync(position).ConfigureAwait(false);
            var length = Math.Min(end - position, Math.Min(now.Length, then.Length));
            length = now.IsZero && then.IsZero ? length : Math.Min(length, BlockBytes - (position % BlockBytes));
            if (blocks.Add(position, length, now, then) is { } run)
            {
                yield return run;
            }

            position += length;
        }

        if (blocks.Close(end) is { } before)
        {
            yield return before;
        }

        if (blocks.Run is { } last)
        {
            yield return last;
        }
    }

    /// <summary>What a disk has from a position on.</summary>
    /// <param name="Length">Guest bytes.</param>
    /// <param name="Data">The bytes; empty where they are zeroes.</param>
    private readonly record struct Stretch(long Length, ReadOnlyMemory<byte> Data)
    {
        public bool IsZero => Data.IsEmpty;

        public bool HasContent(int length) => !IsZero && Data.Span[..length].ContainsAnyExcept((byte)0);
    }

    /// <summary>A disk read front to back; zeroes without end follow it.</summary>
    private sealed class GuestCursor : IAsyncDisposable
    {
        private readonly IAsyncEnumerator<DiskPiece> pieces;
        private readonly long end;
        private DiskPiece? piece;

        public GuestCursor(DiskImage disk, long end, DiskReadOptions options, CancellationToken cancellationToken)
        {
            var whole = options with { Start = 0, Length = end, Order = PieceOrder.Guest, YieldZeroes = true };
            this.end = end;
            pieces = DiskReader.ReadAsync(disk, whole, cancellationToken).GetAsyncEnumerator(cancellationToken);
        }

        /// <summary>What there is at a position, which never goes back. Good until the next call.</summary>
        public async ValueTask<Stretch> AtAsync(long position)
        {
            if (position >= end)
            {
                return new Stretch(long.MaxValue, default);
            }

            while (piece is null || piece.Offset + piece.Length <= position)
            {
                piece?.Dispose();
                piece = null;
                piece = await pieces.MoveNextAsync().ConfigureAwait(false)
                    ? pieces.Current
                    : throw new EndOfStreamException($"The disk's content ends at {position} of {end} bytes.");
            }

            var done = position - piece.Offset;
            return new Stretch(piece.Length - done, piece.IsZero ? default : piece.Data[(int)done..]);
        }

        public ValueTask DisposeAsync()
        {
            piece?.Dispose();
            return pieces.DisposeAsync();
        }
    }

    /// <summary>Makes runs of what is told of bytes, in ascending order.</summary>
    private struct ChangedBlocks
    {
        private long block;
        private bool isChanged;
        private bool hasContent;

        /// <summary>The run that may still grow; null for none.</summary>
        public ChangedRun? Run { get; private set; }

        /// <summary>Adds bytes: of one block, or any number of zeroes on both sides.</summary>
        /// <returns>A run that has ended; null for none.</returns>
        public ChangedRun? Add(long position, long length, Stretch now, Stretch then)
        {
            var ended = position - block >= BlockBytes ? Close(position - (position % BlockBytes)) : null;
            if (now.IsZero && then.IsZero)
            {
                // Blocks that are zeroes throughout are no change; the one that is begun here may become one.
                var begun = (position + length) % BlockBytes == 0 ? position + length : (position + length) & -BlockBytes;
                return begun > block ? ended ?? Close(begun) : ended;
            }

            var bytes = (int)length;
            var content = now.HasContent(bytes);
            hasContent |= content;
            isChanged |= now.IsZero || then.IsZero
                ? content || then.HasContent(bytes)
                : !now.Data.Span[..bytes].SequenceEqual(then.Data.Span[..bytes]);
            return ended;
        }

        /// <summary>Ends the block that is open; the next one is open then.</summary>
        /// <returns>A run that has ended; null for none.</returns>
        public ChangedRun? Close(long next)
        {
            var (start, length) = (block, Math.Min(BlockBytes, next - block));
            var (changed, zero) = (isChanged, !hasContent);
            (block, isChanged, hasContent) = (next, false, false);
            var before = Run;
            if (!changed)
            {
                Run = null;
                return before;
            }

            if (before is { } open && open.Start + open.Length == start && open.IsZero == zero)
            {
                Run = open with { Length = open.Length + length };
                return null;
            }

            Run = new ChangedRun(start, length, zero);
            return before;
        }
    }
}
