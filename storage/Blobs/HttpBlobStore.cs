using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs;

/// <summary>Reads blobs from a web server, by ranges; never writes. What lies below its base address is laid out like a
/// bucket or like a directory store (<see cref="BlobLayout"/>): a replica, a cache, a directory that was published.
/// </summary>
public sealed class HttpBlobStore : IBlobStore, IDisposable
{
    private const int BlobsKept = 4096;

    private readonly SharedReads<BlobKey, SegmentedBlob> _blobs = new(BlobsKept);
    private readonly Uri _base;
    private readonly StoreTransport _transport;
    private readonly StoreCalls _calls;
    private readonly RemoteBytes _bytes;

    /// <summary>Opens a store; sends nothing yet.</summary>
    /// <param name="id">The store's id in the configuration.</param>
    /// <param name="baseAddress">http or https; blobs are below it.</param>
    /// <param name="authorities">Certificates to trust instead of the system's; null for the system's.</param>
    /// <param name="patience">How long the server is waited for.</param>
    /// <param name="time">Clock of retries.</param>
    /// <param name="logger">Hears of retries.</param>
    public HttpBlobStore(
        string id,
        Uri baseAddress,
        X509Certificate2Collection? authorities,
        StorePatience patience,
        TimeProvider time,
        ILogger<HttpBlobStore> logger)
    {
        Id = id;
        _base = baseAddress.AbsoluteUri.EndsWith('/') ? baseAddress : new Uri(baseAddress.AbsoluteUri + "/");
        _transport = new StoreTransport(authorities);
        _calls = new StoreCalls(id, patience, time, logger);
        _bytes = new RemoteBytes(_transport.Bytes, _calls);
    }

    /// <inheritdoc/>
    public string Id { get; }

    /// <inheritdoc/>
    /// <exception cref="StoreReadOnlyException">Always.</exception>
    public ValueTask<IBlobWriter> BeginAsync(BlobKey key, long? expectedLength, CancellationToken cancellationToken) =>
        throw new StoreReadOnlyException(Id);

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var blob = await _blobs.GetAsync(key, ReadShapeAsync, cancellationToken).ConfigureAwait(false);
        try
        {
            return await _bytes.ReadAsync(
                key, blob, part, offset, buffer, name => ValueTask.FromResult(Address(key, name)), cancellationToken)
                .ConfigureAwait(false);
        }
        catch (BlobNotFoundException)
        {
            _blobs.Drop(key);
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken)
    {
        _blobs.Drop(key);
        try
        {
            var blob = await _blobs.GetAsync(key, ReadShapeAsync, cancellationToken).ConfigureAwait(false);
            return new BlobStat(blob.DataLength, blob.IndexLength);
        }
        catch (BlobNotFoundException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="StoreReadOnlyException">Always.</exception>
    public ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken) =>
        throw new StoreReadOnlyException(Id);

    /// <inheritdoc/>
    /// <remarks>Nothing: a web server does not tell what it has, and nothing in it is ours to remove.</remarks>
    public IAsyncEnumerable<BlobEntry> ListAsync(CancellationToken cancellationToken) =>
        AsyncEnumerable.Empty<BlobEntry>();

    /// <inheritdoc/>
    public void Dispose() => _transport.Dispose();

    // A record says that it is a bucket's layout; without one, it is a directory's.
    private async Task<SegmentedBlob> ReadShapeAsync(BlobKey key)
    {
        try
        {
            return await _bytes.ReadRecordAsync(
                Id, key, () => ValueTask.FromResult(Address(key, BlobLayout.Record))).ConfigureAwait(false);
        }
        catch (BlobNotFoundException)
        {
            var data = await AgreedAnswer.GetAsync(() => LengthAsync(key, BlobPart.Data)).ConfigureAwait(false)
                ?? throw new BlobCorruptException(Id, key, BlobPart.Data, 0);
            var index = await AgreedAnswer.GetAsync(() => LengthAsync(key, BlobPart.Index)).ConfigureAwait(false)
                ?? throw new BlobCorruptException(Id, key, BlobPart.Index, 0);
            return new SegmentedBlob(data, index, DataSegmentBytes: 0, IndexSegmentBytes: 0);
        }
    }

    private async Task<long?> LengthAsync(BlobKey key, BlobPart part)
    {
        try
        {
            return await _calls.RunAsync(
                "stat",
                async attempt =>
                {
                    using var request = new HttpRequestMessage(
                        HttpMethod.Head, Address(key, BlobLayout.FileName(part)));
                    using var response = await _transport.Bytes.SendAsync(request, attempt.Token).ConfigureAwait(false);
                    return response.Content.Headers.ContentLength
                        ?? throw new StoreStatusException(System.Net.HttpStatusCode.NotImplemented, "Length");
                },
                CancellationToken.None).ConfigureAwait(false);
        }
        catch (StoreStatusException refused) when (refused.IsNotFound)
        {
            throw new BlobNotFoundException(key);
        }
    }

    private Uri Address(BlobKey key, string name) => new(_base, BlobLayout.ObjectPrefix("", key) + name);
}
