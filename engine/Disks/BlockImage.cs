using System.Buffers;
using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>A disk cut into blocks of one size, each of which a table places somewhere in one file: VMDK, dynamic VHD,
/// VHDX, VDI.</summary>
/// <remarks>Tables are read in windows of a few thousand blocks, never as a whole, and kept for no longer than a
/// listing needs them.</remarks>
public abstract class BlockImage : DiskImage
{
    private const int WindowBlocks = 4096;
    private const int MaxClusterSize = 64 << 20;

    private readonly bool isAudited;

    private protected BlockImage(IByteSource source, Limits limits)
    {
        Source = source;
        isAudited = limits.RejectSharedClusters;
    }

    /// <summary>Guest bytes of a block, a power of two.</summary>
    public abstract long BlockBytes { get; }

    /// <inheritdoc/>
    /// <remarks>The block, or a part of it where blocks are larger than 64 MiB.</remarks>
    public override int ClusterSize => (int)Math.Min(BlockBytes, MaxClusterSize);

    /// <summary>The image's file.</summary>
    protected IByteSource Source { get; }

    /// <inheritdoc/>
    public override IByteSource Layer(int depth)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(depth, 0);
        return Source;
    }

    /// <inheritdoc/>
    /// <remarks>With <see cref="Limits.RejectSharedClusters"/>, listing the whole disk also checks that no two blocks
    /// share stored bytes and that none lies on the image's own metadata.</remarks>
    public override async IAsyncEnumerable<Extent> MapAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        if (length == 0)
        {
            yield break;
        }

        var audit = isAudited && length == VirtualSize ? StartAudit() : null;
        var first = start / BlockBytes;
        var end = ((start + length - 1) / BlockBytes) + 1;
        var size = (int)Math.Min(WindowBlocks, end - first);
        var places = ArrayPool<BlockPlace>.Shared.Rent(size);
        var pending = default(Extent);
        try
        {
            for (var block = first; block < end;)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var run = Math.Min(AbsentRun(block), end - block);
                var isAbsent = run > 0;
                if (!isAbsent)
                {
                    var window = places.AsMemory(0, (int)Math.Min(size, end - block));
                    run = await PlaceAsync(block, window, cancellationToken).ConfigureAwait(false);
                }

                for (var i = 0; i < (isAbsent ? 1 : run); i++)
                {
                    var part = isAbsent ? Part(block, run, BlockPlace.Hole) : Part(block + i, 1, places[i]);
                    part = Clip(part, start, start + length);
                    audit?.Mark(part);
                    if (TryJoin(ref pending, part))
                    {
                        continue;
                    }

                    yield return pending;
                    pending = part;
                }

                block += run;
            }
        }
        finally
        {
            ArrayPool<BlockPlace>.Shared.Return(places);
        }

        audit?.Finish();
        yield return pending;
    }

    /// <summary>How many blocks from one on are known not to be stored, without reading anything.</summary>
    private protected virtual long AbsentRun(long block) => 0;

    /// <summary>Looks blocks up in the tables.</summary>
    /// <param name="first">The first block; stored or not, its table exists.</param>
    /// <param name="places">Receives the places.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>Blocks looked up, at least 1.</returns>
    /// <exception cref="ImageFormatException">An entry is malformed, or places its block outside the file.</exception>
    private protected abstract ValueTask<int> PlaceAsync(
        long first, Memory<BlockPlace> places, CancellationToken cancellationToken);

    /// <summary>Begins to watch a listing of the whole disk.</summary>
    private protected abstract BlockAudit StartAudit();

    /// <summary>Bytes of a block that lie in the disk.</summary>
    private protected long BytesOf(long block) => Math.Min(BlockBytes, VirtualSize - (block * BlockBytes));

    /// <summary>Reads a part of a table.</summary>
    /// <exception cref="EndOfStreamException">The file became shorter.</exception>
    private protected async ValueTask ReadTableAsync(
        long offset, Memory<byte> table, CancellationToken cancellationToken)
    {
        if (await Source.ReadAsync(offset, table, cancellationToken).ConfigureAwait(false) < table.Length)
        {
            throw new EndOfStreamException("The image's bytes end inside its block table.");
        }
    }

    /// <summary>Judges where a block is stored.</summary>
    /// <param name="offset">First stored byte, as the table has it.</param>
    /// <param name="length">Bytes that must be there.</param>
    /// <param name="block">The block, for the message.</param>
    /// <exception cref="ImageFormatException">It is not within the file.</exception>
    private protected long RequireInside(ulong offset, long length, long block) =>
        offset <= (ulong)Source.Length && length <= Source.Length - (long)offset
            ? (long)offset
            : throw new ImageFormatException(
                FormatError.OutsideFile,
                $"The block at guest offset {block * BlockBytes} is stored outside the file.");

    private Extent Part(long block, long count, in BlockPlace place)
    {
        var start = block * BlockBytes;
        var length = Math.Min(count * BlockBytes, VirtualSize - start);
        return new Extent(
            start, length, place.Kind, place.Offset, place.Kind == ExtentKind.Data ? length : place.StoredLength);
    }

    private static Extent Clip(in Extent part, long start, long end)
    {
        if (part.Kind == ExtentKind.Compressed || (part.Start >= start && part.End <= end))
        {
            return part;
        }

        var skip = Math.Max(0, start - part.Start);
        var length = Math.Min(part.End, end) - part.Start - skip;
        return part.Kind == ExtentKind.Data
            ? new Extent(part.Start + skip, length, part.Kind, part.Offset + skip, length)
            : new Extent(part.Start + skip, length, part.Kind);
    }

    private static bool TryJoin(ref Extent pending, in Extent next)
    {
        if (pending.Length == 0)
        {
            pending = next;
            return true;
        }

        if (pending.Kind != next.Kind || pending.Kind == ExtentKind.Compressed
            || (pending.Kind == ExtentKind.Data && pending.Offset + pending.Length != next.Offset))
        {
            return false;
        }

        pending = pending with
        {
            Length = pending.Length + next.Length,
            StoredLength = pending.StoredLength + next.StoredLength,
        };
        return true;
    }
}
