using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Security.Cryptography;

namespace Registry.Storage.Blobs;

/// <summary>Reads a blob's index page by page; whatever it returns was verified up to the digest in the
/// database.</summary>
/// <remarks>Reads may run in parallel. The end of the index, and of a small one all, comes with the root; who goes
/// through the pages one after another gets many with one read. Keeps that end (64 KiB), the page table (36 bytes for
/// each 64 MiB) and at most 160 block pages and 16 map pages: 6.4 MiB, less where much is zero or where the process has
/// little memory.</remarks>
internal sealed class BlobIndexReader
{
    private const int BlockPagesMost = 160;
    private const int BlockPagesLeast = 8;
    private const long MemoryPerBlockPage = 16L << 20; // each open blob has its pages, and a small container many of them
    private const int MapPagesKept = 16;
    private const int BlockPageBytes = BlobIndex.BitmapBytes + (BlobIndex.BlocksPerPage * BlobIndex.BlockEntryBytes);
    private const int TailBytes = 64 << 10;
    private const int AheadBytes = 512 << 10;

    private static readonly int BlockPagesKept = (int)Math.Clamp(
        GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / MemoryPerBlockPage, BlockPagesLeast, BlockPagesMost);

    private readonly SharedReads<int, BlockPage?> _blockPages = new(BlockPagesKept);
    private readonly SharedReads<int, byte[]> _mapPages = new(MapPagesKept);
    private readonly SharedReads<int, PageTable> _tables = new(1);
    private readonly string _storeId;
    private readonly BlobKey _key;
    private readonly ReadBlob _read;
    private readonly BlobIndexRoot _root;
    private readonly long _tableOffset;
    private readonly byte[] _tail;
    private int _lastPage = -1;

    private BlobIndexReader(
        string storeId, BlobKey key, ReadBlob read, BlobIndexRoot root, long tableOffset, byte[] tail)
    {
        _storeId = storeId;
        _key = key;
        _read = read;
        _root = root;
        _tableOffset = tableOffset;
        _tail = tail;
    }

    /// <summary>Reads from the index part of the blob.</summary>
    /// <param name="offset">Byte offset.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="isAgain">Whether what came the last time was not what was written.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public delegate ValueTask<int> ReadBlob(
        long offset, Memory<byte> buffer, bool isAgain, CancellationToken cancellationToken);

    /// <summary>Bytes of data.</summary>
    public long DataLength => _root.DataLength;

    /// <summary>Bytes of memory that a reader holds while a blob's data is read from front to back.</summary>
    /// <param name="dataLength">Length of the blob's data in bytes.</param>
    public static long MemoryBytes(long dataLength)
    {
        var pages = (dataLength / BlobIndex.PageSpanBytes) + 1;
        return TailBytes + (pages * BlobIndex.TableEntryBytes) + (Math.Min(pages, BlockPagesKept) * BlockPageBytes);
    }

    private long TailOffset => _tableOffset + _root.TableLength + BlobIndexRoot.Size - _tail.Length;

    /// <summary>Bytes of allocation map.</summary>
    public long MapLength => _root.MapLength;

    /// <summary>Reads the end of the index and verifies the root; nothing else yet.</summary>
    /// <param name="storeId">The store, for messages.</param>
    /// <param name="key">The blob, for messages.</param>
    /// <param name="read">Reads its index.</param>
    /// <param name="indexLength">Length of the index in bytes, from the database.</param>
    /// <param name="indexDigest">SHA-256 of the root, from the database.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <exception cref="BlobCorruptException">It is not the root that was written.</exception>
    public static async ValueTask<BlobIndexReader> OpenAsync(
        string storeId,
        BlobKey key,
        ReadBlob read,
        long indexLength,
        ReadOnlyMemory<byte> indexDigest,
        CancellationToken cancellationToken)
    {
        var offset = indexLength - BlobIndexRoot.Size;
        if (offset < 0)
        {
            throw new BlobCorruptException(storeId, key, BlobPart.Index, 0);
        }

        var tail = new byte[Math.Min(TailBytes, indexLength)];
        var isGenuine = false;
        for (var attempt = 0; attempt < 2 && !isGenuine; attempt++)
        {
            var got = await read(indexLength - tail.Length, tail, attempt > 0, cancellationToken)
                .ConfigureAwait(false);
            isGenuine = got == tail.Length
                && SHA256.HashData(tail.AsSpan(^BlobIndexRoot.Size..)).AsSpan().SequenceEqual(indexDigest.Span);
        }

        return isGenuine
            && BlobIndexRoot.TryParse(tail.AsSpan(^BlobIndexRoot.Size..).ToArray(), out var root)
            && root.TableLength <= offset
                ? new BlobIndexReader(storeId, key, read, root, offset - root.TableLength, tail)
                : throw new BlobCorruptException(storeId, key, BlobPart.Index, offset);
    }

    /// <summary>What is known of the blocks of a page; null when they are all zeroes.</summary>
    /// <param name="number">Number of the page, 0 or more.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <exception cref="BlobCorruptException">It is not the page that was written.</exception>
    public Task<BlockPage?> BlockPageAsync(int number, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(number, _root.BlockPages);
        return _blockPages.GetAsync(number, ReadBlockPageAsync, cancellationToken);
    }

    /// <summary>Fills a buffer from the allocation map.</summary>
    /// <returns>Bytes read; less than the buffer only where the map ends.</returns>
    /// <exception cref="BlobCorruptException">It is not the map that was written.</exception>
    public async ValueTask<int> ReadMapAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var read = 0;
        while (read < buffer.Length && offset + read < MapLength)
        {
            var number = (int)((offset + read) / BlobIndex.MapPageBytes);
            var from = (int)((offset + read) % BlobIndex.MapPageBytes);
            var page = await _mapPages.GetAsync(number, ReadMapPageAsync, cancellationToken).ConfigureAwait(false);
            var taken = Math.Min(buffer.Length - read, page.Length - from);
            page.AsSpan(from, taken).CopyTo(buffer.Span[read..]);
            read += taken;
        }

        return read;
    }

    /// <summary>Counts the blocks that hold a byte that is not zero.</summary>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <exception cref="BlobCorruptException">It is not the table that was written.</exception>
    public async ValueTask<long> CountBlocksAsync(CancellationToken cancellationToken)
    {
        var table = await TableAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        var count = 0L;
        for (var page = 0; page < _root.BlockPages; page++)
        {
            var (_, length) = table.Locate(page);
            count += length == 0 ? 0 : (length - BlobIndex.BitmapBytes) / BlobIndex.BlockEntryBytes;
        }

        return count;
    }

    private async Task<BlockPage?> ReadBlockPageAsync(int number)
    {
        var table = await TableAsync().ConfigureAwait(false);
        var isNext = Interlocked.Exchange(ref _lastPage, number) == number - 1;
        var (offset, length) = table.Locate(number);
        if (length == 0)
        {
            return null;
        }

        if (isNext && offset < TailOffset && await ReadAheadAsync(table, number).ConfigureAwait(false) is { } first)
        {
            return first;
        }

        return Parse(await ReadVerifiedAsync(offset, length, table.Digest(number)).ConfigureAwait(false), offset);
    }

    /// <summary>Reads a page and those after it.</summary>
    /// <returns>The first page; null where it is not what was written, so that it is read once more alone.</returns>
    private async Task<BlockPage?> ReadAheadAsync(PageTable table, int number)
    {
        var (start, length) = table.Locate(number);
        var last = number;
        for (var page = number + 1; page < _root.BlockPages && page - number < BlockPagesKept / 2; page++)
        {
            var (offset, more) = table.Locate(page);
            if (offset + more - start > AheadBytes)
            {
                break;
            }

            (last, length) = (page, checked((int)(offset + more - start)));
        }

        var bytes = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            var got = await _read(start, bytes.AsMemory(0, length), false, CancellationToken.None).ConfigureAwait(false);
            for (var page = last; page >= number; page--)
            {
                var (offset, size) = table.Locate(page);
                var from = (int)(offset - start);
                var isGenuine = from + size <= got
                    && (size == 0 || IsGenuine(bytes.AsSpan(from, size), table.Digest(page)));
                if (page == number)
                {
                    Interlocked.CompareExchange(ref _lastPage, last, number);
                    return isGenuine ? Parse(bytes.AsSpan(from, size).ToArray(), offset) : null;
                }

                if (isGenuine)
                {
                    _blockPages.Keep(page, size == 0 ? null : Parse(bytes.AsSpan(from, size).ToArray(), offset));
                }
            }

            throw new UnreachableException();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private BlockPage Parse(byte[] bytes, long offset) =>
        BlockPage.TryParse(bytes) ?? throw new BlobCorruptException(_storeId, _key, BlobPart.Index, offset);

    private async Task<byte[]> ReadMapPageAsync(int number)
    {
        var table = await TableAsync().ConfigureAwait(false);
        var (offset, length) = table.Locate(_root.BlockPages + number);
        var expected = Math.Min(BlobIndex.MapPageBytes, MapLength - ((long)number * BlobIndex.MapPageBytes));
        return length == expected
            ? await ReadVerifiedAsync(offset, length, table.Digest(_root.BlockPages + number)).ConfigureAwait(false)
            : throw new BlobCorruptException(_storeId, _key, BlobPart.Index, _tableOffset);
    }

    private Task<PageTable> TableAsync() => _tables.GetAsync(
        0,
        async _ => PageTable.TryParse(
            await ReadVerifiedAsync(_tableOffset, checked((int)_root.TableLength), _root.TableDigest)
                .ConfigureAwait(false),
            _tableOffset)
            ?? throw new BlobCorruptException(_storeId, _key, BlobPart.Index, _tableOffset),
        CancellationToken.None);

    // From the end that is here already; else from the store, once more before giving up: a bit may flip on the way,
    // too.
    private async ValueTask<byte[]> ReadVerifiedAsync(long offset, int length, ReadOnlyMemory<byte> digest)
    {
        var bytes = new byte[length];
        var inTail = offset - TailOffset;
        if (inTail >= 0)
        {
            _tail.AsSpan((int)inTail, length).CopyTo(bytes);
            if (IsGenuine(bytes, digest))
            {
                return bytes;
            }
        }

        for (var attempt = 0; attempt < 2; attempt++)
        {
            var got = await _read(offset, bytes, attempt > 0, CancellationToken.None).ConfigureAwait(false);
            if (got == length && IsGenuine(bytes, digest))
            {
                return bytes;
            }
        }

        throw new BlobCorruptException(_storeId, _key, BlobPart.Index, offset);
    }

    private static bool IsGenuine(ReadOnlySpan<byte> bytes, ReadOnlyMemory<byte> digest)
    {
        Span<byte> actual = stackalloc byte[BlobIndex.DigestBytes];
        SHA256.HashData(bytes, actual);
        return actual.SequenceEqual(digest.Span);
    }

    /// <summary>Where each page is, and its digest.</summary>
    private sealed class PageTable
    {
        private readonly byte[] _bytes;
        private readonly long[] _offsets;

        private PageTable(byte[] bytes)
        {
            _bytes = bytes;
            _offsets = new long[bytes.Length / BlobIndex.TableEntryBytes];
        }

        /// <returns>Null when the pages do not fill the index up to the table.</returns>
        public static PageTable? TryParse(byte[] bytes, long tableOffset)
        {
            var table = new PageTable(bytes);
            var offset = 0L;
            for (var page = 0; page < table._offsets.Length; page++)
            {
                table._offsets[page] = offset;
                offset += table.Length(page);
            }

            return offset == tableOffset ? table : null;
        }

        public (long Offset, int Length) Locate(int page) => (_offsets[page], checked((int)Length(page)));

        public ReadOnlyMemory<byte> Digest(int page) =>
            _bytes.AsMemory((page * BlobIndex.TableEntryBytes) + sizeof(uint), BlobIndex.DigestBytes);

        private uint Length(int page) =>
            BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(page * BlobIndex.TableEntryBytes));
    }
}
