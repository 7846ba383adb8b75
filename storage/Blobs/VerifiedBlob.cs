using Registry.Storage.Blobs.Cache;
using Registry.Storage.Domain;

namespace Registry.Storage.Blobs;

/// <summary>A run of bytes in a blob.</summary>
/// <param name="Length">Length in bytes, 1 or more.</param>
/// <param name="IsZero">Whether all of them are zero; if not, every 4 KiB piece of the run holds one that is
/// not.</param>
public readonly record struct BlobRun(long Length, bool IsZero);

/// <summary>A stored blob whose every byte is checked, before it is handed out, against digests taken at the
/// upload.</summary>
/// <remarks>Reads are positional and may run in parallel. Pieces of 4 KiB that are known to be zero are never read.
/// Keeps at most 16 blocks of 64 KiB and 6.4 MiB of index.</remarks>
public sealed partial class VerifiedBlob : IVerifiedBytes, IDisposable
{
    private const int EdgesKept = 16;
    private const int RunPagesMax = 16; // 1 GiB of data in one answer

    private readonly SharedReads<long, byte[]> _edges = new(EdgesKept);
    private readonly IBlobStore _store;
    private readonly BlobKey _key;
    private readonly Counters _counters;
    private readonly BlobIndexReader _index;
    private readonly BlockCache? _cache;
    private readonly BlockOrigin _blocks;
    private RecentBlocks? _recent;
    private IDisposable? _reader;

    private VerifiedBlob(
        IBlobStore store, BlobKey key, Counters counters, BlobIndexReader index, BlockCache? cache)
    {
        _store = store;
        _key = key;
        _counters = counters;
        _index = index;
        _cache = cache;
        _blocks = new BlockOrigin(FetchBlocksAsync, GenuineAsync);
    }

    /// <summary>Length in bytes.</summary>
    public long Length => _index.DataLength;

    /// <summary>Length in bytes of the allocation map that was stored with the blob; 0 when there is none.</summary>
    public long MapLength => _index.MapLength;

    /// <summary>Bytes read from the store so far: data and index.</summary>
    public long BytesRead => Volatile.Read(ref _counters.Data) + Volatile.Read(ref _counters.Index);

    /// <summary>Bytes of index read from the store so far.</summary>
    public long IndexBytesRead => Volatile.Read(ref _counters.Index);

    /// <inheritdoc cref="OpenAsync(IBlobStore, ImageLocation, BlockCache, CancellationToken)"/>
    public static ValueTask<VerifiedBlob> OpenAsync(
        IBlobStore store, ImageLocation location, CancellationToken cancellationToken) =>
        OpenAsync(store, location, null, cancellationToken);

    /// <summary>Opens a blob: reads the last 64 KiB of its index, of a small one all.</summary>
    /// <param name="store">Where it is.</param>
    /// <param name="location">What the database says of it.</param>
    /// <param name="cache">Asked before the store, and told what the store said; null for none.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="BlobNotFoundException">It is not in the store.</exception>
    /// <exception cref="BlobCorruptException">Its index is damaged.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    public static async ValueTask<VerifiedBlob> OpenAsync(
        IBlobStore store, ImageLocation location, BlockCache? cache, CancellationToken cancellationToken)
    {
        var counters = new Counters();
        var key = location.Key;
        BlobIndexReader.ReadBlob read = async (offset, buffer, _, token) =>
        {
            var got = await store.ReadAsync(key, BlobPart.Index, offset, buffer, token).ConfigureAwait(false);
            Interlocked.Add(ref counters.Index, got);
            return got;
        };
        var index = await BlobIndexReader.OpenAsync(
            store.Id,
            key,
            cache is null ? read : new CachedIndex(cache, store.Id, key, location.IndexLength, read).ReadAsync,
            location.IndexLength,
            location.IndexDigest,
            cancellationToken).ConfigureAwait(false);
        if (index.DataLength != location.DataLength)
        {
            throw new BlobCorruptException(
                store.Id, key, BlobPart.Index, location.IndexLength - BlobIndexRoot.Size);
        }

        if (cache is not null && !cache.KnowsTotal(key))
        {
            cache.SetTotal(key, await index.CountBlocksAsync(cancellationToken).ConfigureAwait(false));
        }

        return new VerifiedBlob(store, key, counters, index, cache);
    }

    /// <summary>Bytes of memory that an open blob holds for its index while its data is read from front to back.</summary>
    /// <param name="dataLength">Length of the data in bytes.</param>
    public static long IndexBytes(long dataLength) => BlobIndexReader.MemoryBytes(dataLength);

    /// <summary>From now on it shares what it reads with those that read the same blob at the same time, until it is
    /// disposed.</summary>
    /// <param name="recent">What they share.</param>
    public void Share(RecentBlocks recent)
    {
        ArgumentNullException.ThrowIfNull(recent);
        _reader = recent.Join(_key);
        _recent = recent;
    }

    /// <summary>Ends the sharing; nothing is open.</summary>
    public void Dispose() => _reader?.Dispose();

    /// <summary>Describes the run of bytes that starts at an offset, without reading data.</summary>
    /// <param name="offset">Byte offset, 0 to <see cref="Length"/> exclusive.</param>
    /// <param name="cancellationToken">Cancels the look-up.</param>
    /// <returns>The run, in steps of 4 KiB. A run of zeroes is told to its end; one of data may be told in parts of 1
    /// GiB.
    /// </returns>
    /// <exception cref="BlobCorruptException">The index is damaged.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    public async ValueTask<BlobRun> RunAsync(long offset, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, Length);

        bool? isZero = null;
        var end = offset;
        for (var pages = 0; end < Length && pages < RunPagesMax;)
        {
            var number = (int)(end / BlobIndex.PageSpanBytes);
            var start = number * BlobIndex.PageSpanBytes;
            var page = await _index.BlockPageAsync(number, cancellationToken).ConfigureAwait(false);
            var piece = (int)((end - start) / BlobIndex.PieceBytes);
            isZero ??= page is null || page.RunEnd(piece, isZero: true) > piece;
            var runEnd = page is not null ? page.RunEnd(piece, isZero.Value) : isZero.Value ? BlockPage.Pieces : piece;
            if (runEnd == piece)
            {
                break;
            }

            end = Math.Min(Length, start + ((long)runEnd * BlobIndex.PieceBytes));
            if (runEnd < BlockPage.Pieces)
            {
                break;
            }

            pages += isZero.Value ? 0 : 1;
        }

        return new BlobRun(end - offset, isZero!.Value);
    }

    /// <summary>Fills a buffer from the allocation map, which is the engine's business.</summary>
    /// <returns>Bytes read; less than the buffer only where the map ends.</returns>
    /// <exception cref="BlobCorruptException">The index is damaged.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    public ValueTask<int> ReadMapAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        _index.ReadMapAsync(offset, buffer, cancellationToken);

    private sealed class Counters
    {
        public long Data;
        public long Index;
    }
}
