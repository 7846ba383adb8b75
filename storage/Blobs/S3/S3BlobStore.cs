using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>Keeps blobs in a bucket, cut into objects; layout in <see cref="BlobLayout"/>.</summary>
/// <remarks>A blob is there when its record object is, which is written last and removed first. Names hold the
/// generation and nothing is ever written under a name with other bytes, so every request may be repeated.</remarks>
public sealed partial class S3BlobStore : IBlobStore, IAddressedStore, IDisposable
{
    /// <summary>Bytes of an object of index: small, so that an index under way costs little memory.</summary>
    internal const int IndexSegmentBytes = 1 << 20;

    // Digests and bitmaps of the data are less than a thousandth of it.
    private const int DataPerIndex = 1024;

    private const int RecordsKept = 4096;

    private readonly SharedReads<BlobKey, SegmentedBlob> _records = new(RecordsKept);
    private readonly S3Options _options;
    private readonly S3Bucket _bucket;
    private readonly RemoteBytes _bytes;
    private readonly SegmentPool _pool;
    private readonly ILogger _logger;

    /// <summary>Opens a store; sends nothing yet.</summary>
    /// <param name="id">The store's id in the configuration.</param>
    /// <param name="options">Where the bucket is.</param>
    /// <param name="time">Clock of retries.</param>
    /// <param name="logger">Hears of retries and leftovers.</param>
    public S3BlobStore(string id, S3Options options, TimeProvider time, ILogger<S3BlobStore> logger)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(options.SegmentBytes % BlobIndex.BlockBytes, 0);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.SegmentsHeld, 1);
        Id = id;
        _options = options;
        _pool = new SegmentPool(options.SegmentBytes, options.Memory);
        _logger = logger;
        var calls = new StoreCalls(id, options.Patience, time, logger);
        _bucket = new S3Bucket(options, calls, time, logger);
        _bytes = new RemoteBytes(_bucket.Http, calls);
    }

    /// <inheritdoc/>
    public string Id { get; }

    /// <inheritdoc/>
    public long WriterBytes(long? expectedLength)
    {
        var length = expectedLength ?? long.MaxValue;
        return Math.Min(_options.SegmentBytes, length) + Math.Min(IndexSegmentBytes, length / DataPerIndex)
            + (2 * SegmentPool.ChunkBytes);
    }

    /// <summary>Checks that the bucket is there, or makes it where the options say so, and that its listing is
    /// understood.</summary>
    /// <exception cref="StoreUnavailableException">It cannot be used; says whether that may pass.</exception>
    public Task PrepareAsync(CancellationToken cancellationToken) =>
        _bucket.PrepareAsync(_options.Prefix, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<IBlobWriter> BeginAsync(
        BlobKey key, long? expectedLength, CancellationToken cancellationToken)
    {
        var prefix = BlobLayout.ObjectPrefix(_options.Prefix, key);
        if (await StatAsync(key, cancellationToken).ConfigureAwait(false) is not null)
        {
            throw new IOException($"Blob {key.ImageId}/{key.Generation} exists already.");
        }

        // Not the caller's token: a request that is given up half-way may still be carried out, and nobody would remove
        // what it made.
        await _bucket.PutAsync(prefix + BlobLayout.Upload, new S3SmallBody([]), CancellationToken.None)
            .ConfigureAwait(false);
        var writer = new S3BlobWriter(this, _bucket, _bytes, _pool, _options, key, _logger);
        if (cancellationToken.IsCancellationRequested)
        {
            await writer.DisposeAsync().ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }

        return writer;
    }

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var blob = await RecordAsync(key, cancellationToken).ConfigureAwait(false)
            ?? throw new BlobNotFoundException(key);
        var prefix = BlobLayout.ObjectPrefix(_options.Prefix, key);
        try
        {
            return await _bytes.ReadAsync(
                key, blob, part, offset, buffer, name => _bucket.SignGetAsync(prefix + name), cancellationToken)
                .ConfigureAwait(false);
        }
        catch (BlobNotFoundException)
        {
            _records.Drop(key); // another replica deleted it
            throw;
        }
    }

    /// <summary>Fills a buffer from an object of the bucket that is no part of a blob, wherever in the bucket it
    /// is.</summary>
    /// <param name="name">The object's whole name.</param>
    /// <param name="offset">Byte offset, 0 or more.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Bytes read; less than the buffer only where the object ends.</returns>
    /// <exception cref="FileNotFoundException">There is no such object.</exception>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    public async ValueTask<int> ReadForeignAsync(
        string name, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await _bytes.ReadObjectAsync(
                default, () => _bucket.SignGetAsync(name), offset, buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (BlobNotFoundException)
        {
            throw new FileNotFoundException($"Store '{Id}' has no object '{name}'.");
        }
    }

    /// <inheritdoc/>
    public async ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken)
    {
        _records.Drop(key); // who asks wants to know what is there now
        var blob = await RecordAsync(key, cancellationToken).ConfigureAwait(false);
        return blob is null ? null : new BlobStat(blob.DataLength, blob.IndexLength);
    }

    /// <inheritdoc/>
    public async ValueTask<SegmentedBlob> ShapeAsync(BlobKey key, CancellationToken cancellationToken) =>
        await RecordAsync(key, cancellationToken).ConfigureAwait(false) ?? throw new BlobNotFoundException(key);

    /// <inheritdoc/>
    public ValueTask<Uri> AddressAsync(BlobKey key, BlobPart part, long number, TimeSpan life) =>
        _bucket.SignGetAsync(
            BlobLayout.ObjectPrefix(_options.Prefix, key) + BlobLayout.SegmentName(part, number), (int)life.TotalSeconds);

    /// <inheritdoc/>
    /// <remarks>The record goes first: from then on there is no blob.</remarks>
    public async ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken)
    {
        var prefix = BlobLayout.ObjectPrefix(_options.Prefix, key);
        var names = (await _bucket.ListAllAsync(prefix, cancellationToken).ConfigureAwait(false))
            .Select(found => found.Name).ToList();
        if (names.Remove(prefix + BlobLayout.Record))
        {
            await _bucket.RemoveAsync([prefix + BlobLayout.Record], cancellationToken).ConfigureAwait(false);
        }

        _records.Drop(key);
        await _bucket.RemoveAsync(names, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<BlobEntry> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        // Names come in order, so the objects of a blob come one after another.
        BlobEntry? entry = null;
        await foreach (var found in _bucket.ListAsync(_options.Prefix, cancellationToken).ConfigureAwait(false))
        {
            if (!BlobLayout.TryParseObject(found.Name[_options.Prefix.Length..], out var key, out var rest))
            {
                continue; // not ours
            }

            if (entry is { } whole && whole.Key != key)
            {
                yield return whole;
                entry = null;
            }

            var known = entry ?? new BlobEntry(key, IsCommitted: false, found.ModifiedAt);
            entry = known with
            {
                IsCommitted = known.IsCommitted || rest == BlobLayout.Record,
                ModifiedAt = found.ModifiedAt > known.ModifiedAt ? found.ModifiedAt : known.ModifiedAt,
            };
        }

        if (entry is { } last)
        {
            yield return last;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _bucket.Dispose();

    // What is not there is not remembered: it may be committed a moment later.
    private async ValueTask<SegmentedBlob?> RecordAsync(BlobKey key, CancellationToken cancellationToken)
    {
        try
        {
            return await _records.GetAsync(key, ReadRecordAsync, cancellationToken).ConfigureAwait(false);
        }
        catch (BlobNotFoundException)
        {
            return null;
        }
    }

    private Task<SegmentedBlob> ReadRecordAsync(BlobKey key)
    {
        var name = BlobLayout.ObjectPrefix(_options.Prefix, key) + BlobLayout.Record;
        return _bytes.ReadRecordAsync(Id, key, () => _bucket.SignGetAsync(name));
    }
}
