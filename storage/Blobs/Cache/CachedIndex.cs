using System.Buffers;

namespace Registry.Storage.Blobs.Cache;

/// <summary>A blob's index by way of the cache. Who reads it checks what he gets, and says when it was not right.
/// </summary>
internal sealed class CachedIndex
{
    private readonly BlockCache _cache;
    private readonly BlobKey _key;
    private readonly long _length;
    private readonly BlockOrigin _origin;

    /// <summary>Puts the cache before an index.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="storeId">The store, for messages.</param>
    /// <param name="key">The blob.</param>
    /// <param name="length">Length of the index in bytes.</param>
    /// <param name="read">Reads from the store.</param>
    public CachedIndex(BlockCache cache, string storeId, BlobKey key, long length, BlobIndexReader.ReadBlob read)
    {
        (_cache, _key, _length) = (cache, key, length);
        _origin = new BlockOrigin(
            async (offset, blocks, cancellationToken) =>
            {
                var got = await read(offset, blocks, false, cancellationToken).ConfigureAwait(false);
                if (got < blocks.Length)
                {
                    throw new BlobCorruptException(storeId, key, BlobPart.Index, offset + got);
                }
            },
            static (_, blocks, _) => ValueTask.FromResult(blocks.Length));
    }

    /// <summary>Reads whole blocks through the cache, and hands out what was asked for of them.</summary>
    public async ValueTask<int> ReadAsync(
        long offset, Memory<byte> buffer, bool isAgain, CancellationToken cancellationToken)
    {
        var from = offset - (offset % BlobIndex.BlockBytes);
        var end = Math.Min(_length, offset + buffer.Length);
        var over = end % BlobIndex.BlockBytes;
        var until = over == 0 ? end : Math.Min(_length, end - over + BlobIndex.BlockBytes);
        if (end <= offset)
        {
            return 0;
        }

        if (isAgain)
        {
            _cache.Forget(_key, BlobPart.Index, from, until);
        }

        var length = checked((int)(until - from));
        var rented = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            var blocks = rented.AsMemory(0, length);
            await _cache.ReadAsync(_key, BlobPart.Index, from, blocks, _origin, cancellationToken)
                .ConfigureAwait(false);
            var wanted = (int)(end - offset);
            blocks.Slice((int)(offset - from), wanted).CopyTo(buffer);
            return wanted;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }
}
