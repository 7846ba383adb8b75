using System.Buffers;
using System.Numerics;
using System.Security.Cryptography;

namespace Registry.Storage.Blobs;

/// <content>Reading data: what is asked for in whole blocks goes straight into the caller's buffer; a block of which
/// only a part is asked for (an edge) is kept a while, since the next read often wants the other part. Edges that nobody
/// has are read together with the blocks between them.</content>
public sealed partial class VerifiedBlob
{
    /// <summary>Zeroes that are read along rather than asking the store once more.</summary>
    private const int GapAlwaysBytes = 32 << 10;

    /// <summary>Zeroes that are read along as long as they are no more than a 64th of what is wanted.</summary>
    private const int GapRarelyBytes = 256 << 10;

    private const int GapShare = 64;

    // The shared pool would keep one for every thread, up to 16 MiB each.
    private static readonly ArrayPool<byte> BlocksWithEdges = ArrayPool<byte>.Create(16 << 20, maxArraysPerBucket: 1);

    /// <summary>Reads of the store under way for one read of the blob.</summary>
    private const int RunsAtOnce = 8;

    /// <summary>Fills a buffer with verified bytes.</summary>
    /// <param name="offset">Byte offset, 0 or more; at or past the end nothing is read.</param>
    /// <param name="buffer">Where the bytes go. Its content is undefined when the read fails.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <returns>Bytes read; less than the buffer only where the blob ends.</returns>
    /// <exception cref="BlobNotFoundException">It is not in the store any more.</exception>
    /// <exception cref="BlobCorruptException">The store twice returned other bytes than were uploaded.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var length = (int)Math.Min(buffer.Length, Math.Max(0, Length - offset));
        if (length == 0)
        {
            return 0;
        }

        buffer = buffer[..length];
        var end = offset + length;
        var bodyStart = RoundUp(offset);
        var bodyEnd = end == Length ? end : RoundDown(end); // the last block counts as whole though it may be short
        if (bodyStart > bodyEnd)
        {
            await ReadEdgeAsync(offset, buffer, cancellationToken).ConfigureAwait(false); // within one block
            return length;
        }

        // The edges are asked for first, so that a distant store answers all at once.
        var hasHead = bodyStart > offset;
        var hasTail = end > bodyEnd;
        var headClaim = hasHead && bodyEnd > bodyStart ? _edges.TryClaim(offset / BlobIndex.BlockBytes) : null;
        var tailClaim = hasTail && bodyEnd > bodyStart ? _edges.TryClaim(bodyEnd / BlobIndex.BlockBytes) : null;
        var body = headClaim is not null || tailClaim is not null
            ? ReadWithEdgesAsync(offset, buffer, headClaim, tailClaim, cancellationToken)
            : bodyEnd > bodyStart
                ? ReadBlocksAsync(
                    bodyStart, buffer[(int)(bodyStart - offset)..(int)(bodyEnd - offset)], cancellationToken)
                : Task.CompletedTask;
        var head = hasHead && headClaim is null
            ? ReadEdgeAsync(offset, buffer[..(int)(bodyStart - offset)], cancellationToken)
            : Task.CompletedTask;
        var tail = hasTail && tailClaim is null
            ? ReadEdgeAsync(bodyEnd, buffer[(int)(bodyEnd - offset)..], cancellationToken)
            : Task.CompletedTask;
        await Task.WhenAll(head, body, tail).ConfigureAwait(false);
        return length;
    }

    /// <summary>Reads whole blocks and the claimed edges beside them at once, and hands the edges to who waits for
    /// them.</summary>
    private async Task ReadWithEdgesAsync(
        long offset, Memory<byte> buffer, SharedReads<long, byte[]>.Claim? head, SharedReads<long, byte[]>.Claim? tail,
        CancellationToken cancellationToken)
    {
        var end = offset + buffer.Length;
        var from = head is null ? RoundUp(offset) : RoundDown(offset);
        var until = tail is not null ? Math.Min(Length, RoundUp(end)) : end == Length ? end : RoundDown(end);
        var rented = BlocksWithEdges.Rent((int)(until - from));
        try
        {
            var blocks = rented.AsMemory(0, (int)(until - from));
            await ReadBlocksAsync(from, blocks, cancellationToken).ConfigureAwait(false);
            var first = Math.Max(from, offset);
            blocks.Slice((int)(first - from), (int)(Math.Min(until, end) - first)).CopyTo(buffer[(int)(first - offset)..]);
            head?.Complete(blocks[..BlobIndex.BlockBytes].ToArray());
            tail?.Complete(blocks[(int)(RoundDown(end) - from)..].ToArray());
        }
        catch
        {
            head?.GiveUp();
            tail?.GiveUp();
            throw;
        }
        finally
        {
            BlocksWithEdges.Return(rented);
        }
    }

    private async Task ReadEdgeAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var number = offset / BlobIndex.BlockBytes;
        byte[] block;
        while (true)
        {
            try
            {
                block = await _edges.GetAsync(number, ReadEdgeBlockAsync, cancellationToken).ConfigureAwait(false);
                break;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // Who was at it gave up; his reasons are his own.
            }
        }

        if (block.Length == 0)
        {
            buffer.Span.Clear();
            return;
        }

        block.AsSpan((int)(offset % BlobIndex.BlockBytes), buffer.Length).CopyTo(buffer.Span);
    }

    // Empty for a block of zeroes.
    private async Task<byte[]> ReadEdgeBlockAsync(long number)
    {
        var start = number * BlobIndex.BlockBytes;
        var page = await PageOfAsync(start, CancellationToken.None).ConfigureAwait(false);
        if (page is null || page.Mask(NumberInPage(start)) == 0)
        {
            return [];
        }

        var block = new byte[Math.Min(BlobIndex.BlockBytes, Length - start)];
        await ReadBlocksAsync(start, block, CancellationToken.None).ConfigureAwait(false);
        return block;
    }

    private Task ReadBlocksAsync(long start, Memory<byte> blocks, CancellationToken cancellationToken) =>
        _recent is { } recent
            ? recent.ReadAsync(_key, start, blocks, ReadKeptBlocksAsync, cancellationToken)
            : ReadKeptBlocksAsync(start, blocks, cancellationToken);

    private Task ReadKeptBlocksAsync(long start, Memory<byte> blocks, CancellationToken cancellationToken) =>
        _cache is null
            ? FetchBlocksAsync(start, blocks, cancellationToken)
            : _cache.ReadAsync(_key, BlobPart.Data, start, blocks, _blocks, cancellationToken);

    // 1. Clear what is known to be zero (whole blocks of it in the end) and join what is not into runs, across blocks and pages, and across short gaps.
    // 2. Read each run with one read of the store, several at once.
    // 3. Check every block, and read one that fails once more.
    private async Task FetchBlocksAsync(long start, Memory<byte> blocks, CancellationToken cancellationToken)
    {
        var run = default(Run);
        List<Task>? reads = null;
        try
        {
            for (var at = 0; at < blocks.Length; at += BlobIndex.BlockBytes)
            {
                var page = await PageOfAsync(start + at, cancellationToken).ConfigureAwait(false);
                int mask = page is null ? (ushort)0 : page.Mask(NumberInPage(start + at));
                var length = Math.Min(BlobIndex.BlockBytes, blocks.Length - at);
                for (var piece = 0; piece * BlobIndex.PieceBytes < length;)
                {
                    var isZero = (mask & (1 << piece)) == 0;
                    var pieces = BitOperations.TrailingZeroCount((isZero ? mask : ~mask) >> piece);
                    var from = at + (piece * BlobIndex.PieceBytes);
                    piece = Math.Min(piece + pieces, BlobIndex.PiecesPerBlock);
                    var until = Math.Min(at + (piece * BlobIndex.PieceBytes), at + length);
                    if (isZero)
                    {
                        if (mask != 0)
                        {
                            blocks.Span[from..until].Clear();
                        }
                    }
                    else if (run.Takes(from, until))
                    {
                        run = new Run(run.Start, until, run.Wasted + from - run.End);
                    }
                    else
                    {
                        reads = await StartAsync(reads, ReadRunAsync(start, blocks, run, cancellationToken))
                            .ConfigureAwait(false);
                        run = new Run(from, until, 0);
                    }
                }
            }

            await ReadRunAsync(start, blocks, run, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            // They write into the caller's buffer: none may outlive this call.
            if (reads is not null)
            {
                await Task.WhenAll(reads).ConfigureAwait(false);
            }
        }

        await VerifyAsync(start, blocks, cancellationToken).ConfigureAwait(false);
    }

    private static async ValueTask<List<Task>?> StartAsync(List<Task>? reads, ValueTask read)
    {
        if (read.IsCompletedSuccessfully)
        {
            return reads;
        }

        reads ??= [];
        reads.Add(read.AsTask());
        if (reads.Count >= RunsAtOnce)
        {
            await Task.WhenAny(reads).ConfigureAwait(false);
            reads.RemoveAll(static one => one.IsCompletedSuccessfully);
        }

        return reads;
    }

    private async ValueTask ReadRunAsync(long start, Memory<byte> blocks, Run run, CancellationToken cancellationToken)
    {
        if (run.End == run.Start)
        {
            return;
        }

        var part = blocks[run.Start..run.End];
        var read = await _store.ReadAsync(_key, BlobPart.Data, start + run.Start, part, cancellationToken)
            .ConfigureAwait(false);
        Interlocked.Add(ref _counters.Data, read);

        // A blob that ends too early is damaged like any other: its digests will not match.
        part.Span[read..].Clear();
    }

    private async ValueTask VerifyAsync(long start, Memory<byte> blocks, CancellationToken cancellationToken)
    {
        for (var at = 0; at < blocks.Length; at += BlobIndex.BlockBytes)
        {
            at += await GenuineAsync(start + at, blocks[at..], cancellationToken).ConfigureAwait(false);
            if (at >= blocks.Length)
            {
                return;
            }

            // All of it, the zero pieces too: whatever is wrong, only the whole block can show it.
            var block = blocks.Slice(at, Math.Min(BlobIndex.BlockBytes, blocks.Length - at));
            var whole = new Run(0, block.Length, 0);
            await ReadRunAsync(start + at, block, whole, cancellationToken).ConfigureAwait(false);
            var page = await PageOfAsync(start + at, cancellationToken).ConfigureAwait(false);
            if (!IsGenuine(page!, NumberInPage(start + at), block.Span))
            {
                throw new BlobCorruptException(_store.Id, _key, BlobPart.Data, start + at);
            }
        }
    }

    // How many bytes, from the first, are what was uploaded: whole blocks.
    private async ValueTask<int> GenuineAsync(long start, Memory<byte> blocks, CancellationToken cancellationToken)
    {
        for (var at = 0; at < blocks.Length; at += BlobIndex.BlockBytes)
        {
            var page = await PageOfAsync(start + at, cancellationToken).ConfigureAwait(false);
            var number = NumberInPage(start + at);
            var block = blocks.Slice(at, Math.Min(BlobIndex.BlockBytes, blocks.Length - at));
            if (page is null || page.Mask(number) == 0)
            {
                block.Span.Clear(); // has no digest, and may have been read along
            }
            else if (!IsGenuine(page, number, block.Span))
            {
                return at;
            }
        }

        return blocks.Length;
    }

    private static bool IsGenuine(BlockPage page, int number, ReadOnlySpan<byte> block)
    {
        Span<byte> digest = stackalloc byte[BlobIndex.DigestBytes];
        SHA256.HashData(block, digest);
        return digest.SequenceEqual(page.Digest(number));
    }

    private Task<BlockPage?> PageOfAsync(long offset, CancellationToken cancellationToken) =>
        _index.BlockPageAsync((int)(offset / BlobIndex.PageSpanBytes), cancellationToken);

    private static int NumberInPage(long offset) => (int)(offset % BlobIndex.PageSpanBytes / BlobIndex.BlockBytes);

    private static long RoundDown(long offset) => offset - (offset % BlobIndex.BlockBytes);

    private static long RoundUp(long offset) => RoundDown(offset + BlobIndex.BlockBytes - 1);

    /// <summary>A stretch of the caller's buffer to be read, in bytes from its start.</summary>
    /// <param name="Start">First byte.</param>
    /// <param name="End">First byte after it.</param>
    /// <param name="Wasted">Bytes of it that are known to be zero.</param>
    private readonly record struct Run(int Start, int End, int Wasted)
    {
        /// <summary>Whether data that follows after a gap, or none, is better read along.</summary>
        public bool Takes(int from, int until)
        {
            var gap = from - End;
            return End > Start
                && (gap <= GapAlwaysBytes
                    || (gap <= GapRarelyBytes && (long)(Wasted + gap) * GapShare <= until - Start - Wasted - gap));
        }
    }
}
