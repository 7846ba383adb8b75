using System.Buffers;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>Brings parts of L2 tables into memory, one at a time: what one image of a long chain needs.</summary>
/// <param name="source">The image's bytes.</param>
/// <param name="header">Its header.</param>
/// <param name="request">What is wanted; its cache, if any, keeps blocks of 4 KiB.</param>
internal sealed class L2Slice(IByteSource source, QcowHeader header, ChainRequest request) : IDisposable
{
    private const int BlockBytes = 4 << 10;

    private readonly long end = request.Ranges[^1].End;
    private byte[] buffer = [];
    private ReadOnlyMemory<byte> held;
    private int heldIndex = -1;
    private int heldFirst;

    /// <summary>Entries of a table that follow each other.</summary>
    /// <param name="l1">The L1 table.</param>
    /// <param name="index">L1 index of the table, which exists.</param>
    /// <param name="first">First entry.</param>
    /// <param name="past">First entry not wanted.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>At least the first one; the caller asks again for what is missing.</returns>
    /// <exception cref="ImageFormatException">The table is misaligned or outside the file.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> EntriesAsync(
        ulong[] l1, int index, int first, int past, CancellationToken cancellationToken)
    {
        var size = header.L2EntrySize;
        if (index != heldIndex || first < heldFirst || first >= heldFirst + (held.Length / size))
        {
            var table = L2Window.Checked(l1[index], index, header, source.Length);
            await LoadAsync(table, index, first, cancellationToken).ConfigureAwait(false);
        }

        var from = (first - heldFirst) * size;
        return held.Slice(from, Math.Min((past - first) * size, held.Length - from));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async ValueTask LoadAsync(long table, int index, int first, CancellationToken cancellationToken)
    {
        var size = header.L2EntrySize;
        if (request.Cache is { } cache)
        {
            var from = (long)first * size / BlockBytes * BlockBytes;
            if (!cache.TryGet(table + from, out var block, request.Depth))
            {
                var bytes = new byte[Math.Min(BlockBytes, header.ClusterSize)];
                await ReadAsync(table + from, bytes, cancellationToken).ConfigureAwait(false);
                block = bytes;
                cache.Add(table + from, block, request.Depth);
            }

            (held, heldIndex, heldFirst) = (block, index, (int)(from / size));
            return;
        }

        // Everything that this request may still want of the table, in one read.
        var clusters = (end - (index * header.L2Coverage) + header.ClusterSize - 1) >> (int)header.ClusterBits;
        var length = (int)(Math.Min(header.L2Entries, clusters) - first) * size;
        if (buffer.Length < length)
        {
            Dispose();
            buffer = ArrayPool<byte>.Shared.Rent(length);
        }

        heldIndex = -1;
        await ReadAsync(table + ((long)first * size), buffer.AsMemory(0, length), cancellationToken)
            .ConfigureAwait(false);
        (held, heldIndex, heldFirst) = (buffer.AsMemory(0, length), index, first);
    }

    private async ValueTask ReadAsync(long offset, Memory<byte> target, CancellationToken cancellationToken)
    {
        if (await source.ReadAsync(offset, target, cancellationToken).ConfigureAwait(false) < target.Length)
        {
            throw new EndOfStreamException("The image's bytes end inside an L2 table.");
        }
    }
}
