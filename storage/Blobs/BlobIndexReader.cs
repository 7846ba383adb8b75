using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Registry.Storage.Blobs;

/// <summary>Reads a blob's index page by page; whatever it returns was verified up to the digest in the
/// database.</summary>
/// <remarks>Reads may run in parallel. Keeps the page table (36 bytes for each 64 MiB) and at most 64 block pages and
/// 16 map pages: 3.2 MiB.</remarks>
internal sealed class BlobIndexReader
{
    private const int BlockPagesKept = 64;
    private const int MapPagesKept = 16;

    private readonly SharedReads<int, BlockPage?> _blockPages = new(BlockPagesKept);
    private readonly SharedReads<int, byte[]> _mapPages = new(MapPagesKept);
    private readonly SharedReads<int, PageTable> _tables = new(1);
    private readonly string _storeId;
    private readonly BlobKey _key;
    private readonly ReadBlob _read;
    private readonly BlobIndexRoot _root;
    private readonly long _tableOffset;

    private BlobIndexReader(string storeId, BlobKey key, ReadBlob read, BlobIndexRoot root, long tableOffset)
    {
        _storeId = storeId;
        _key = key;
        _read = read;
        _root = root;
        _tableOffset = tableOffset;
    }

    /// <summary>Reads from the index part of the blob.</summary>
    public delegate ValueTask<int> ReadBlob(long offset, Memory<byte> buffer, CancellationToken cancellationToken);

    /// <summary>Bytes of data.</summary>
    public long DataLength => _root.DataLength;

    /// <summary>Bytes of allocation map.</summary>
    public long MapLength => _root.MapLength;

    /// <summary>Reads and verifies the root; nothing else yet.</summary>
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

        var bytes = await ReadVerifiedAsync(
            storeId, key, read, offset, BlobIndexRoot.Size, indexDigest, cancellationToken).ConfigureAwait(false);
        return BlobIndexRoot.TryParse(bytes, out var root) && root.TableLength <= offset
            ? new BlobIndexReader(storeId, key, read, root, offset - root.TableLength)
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

    private async Task<BlockPage?> ReadBlockPageAsync(int number)
    {
        var table = await TableAsync().ConfigureAwait(false);
        var (offset, length) = table.Locate(number);
        if (length == 0)
        {
            return null;
        }

        var bytes = await ReadVerifiedAsync(
            _storeId, _key, _read, offset, length, table.Digest(number), CancellationToken.None).ConfigureAwait(false);
        return BlockPage.TryParse(bytes) ?? throw new BlobCorruptException(_storeId, _key, BlobPart.Index, offset);
    }

    private async Task<byte[]> ReadMapPageAsync(int number)
    {
        var table = await TableAsync().ConfigureAwait(false);
        var (offset, length) = table.Locate(_root.BlockPages + number);
        var expected = Math.Min(BlobIndex.MapPageBytes, MapLength - ((long)number * BlobIndex.MapPageBytes));
        return length == expected
            ? await ReadVerifiedAsync(
                _storeId, _key, _read, offset, length, table.Digest(_root.BlockPages + number), CancellationToken.None)
                .ConfigureAwait(false)
            : throw new BlobCorruptException(_storeId, _key, BlobPart.Index, _tableOffset);
    }

    private Task<PageTable> TableAsync() =>
        _tables.GetAsync(
            0,
            async _ => PageTable.TryParse(
                await ReadVerifiedAsync(
                    _storeId,
                    _key,
                    _read,
                    _tableOffset,
                    checked((int)_root.TableLength),
                    _root.TableDigest,
                    CancellationToken.None)
                    .ConfigureAwait(false),
                _tableOffset)
                ?? throw new BlobCorruptException(_storeId, _key, BlobPart.Index, _tableOffset),
            CancellationToken.None);

    // Once more before giving up: a bit may flip on the way, too.
    private static async ValueTask<byte[]> ReadVerifiedAsync(
        string storeId,
        BlobKey key,
        ReadBlob read,
        long offset,
        int length,
        ReadOnlyMemory<byte> digest,
        CancellationToken cancellationToken)
    {
        var bytes = new byte[length];
        for (var attempt = 0; attempt < 2; attempt++)
        {
            var got = await read(offset, bytes, cancellationToken).ConfigureAwait(false);
            if (got == length && SHA256.HashData(bytes).AsSpan().SequenceEqual(digest.Span))
            {
                return bytes;
            }
        }

        throw new BlobCorruptException(storeId, key, BlobPart.Index, offset);
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
