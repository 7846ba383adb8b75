using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs;

/// <summary>Where a segment of a blob is to be read now.</summary>
/// <param name="segment">Its name in the blob, such as <c>data.3</c>.</param>
public delegate ValueTask<Uri> SegmentAddress(string segment);

/// <summary>Reads one blob of a distant store by addresses that somebody hands out (<see cref="IAddressedStore"/>); never
/// writes.</summary>
public sealed class AddressedBlob : IBlobStore, IDisposable
{
    private readonly SegmentedBlob _shape;
    private readonly SegmentAddress _address;
    private readonly StoreTransport _transport;
    private readonly RemoteBytes _bytes;

    /// <summary>Opens a blob; sends nothing yet.</summary>
    /// <param name="id">What errors call the store.</param>
    /// <param name="shape">How the blob is cut.</param>
    /// <param name="address">Asked for each attempt: an address ages.</param>
    /// <param name="authorities">Certificates to trust instead of the system's; null for the system's.</param>
    /// <param name="patience">How long the store is waited for.</param>
    /// <param name="logger">Hears of retries.</param>
    public AddressedBlob(
        string id,
        SegmentedBlob shape,
        SegmentAddress address,
        X509Certificate2Collection? authorities,
        StorePatience patience,
        ILogger<AddressedBlob> logger)
    {
        Id = id;
        _shape = shape;
        _address = address;
        _transport = new StoreTransport(authorities);
        _bytes = new RemoteBytes(_transport.Bytes, new StoreCalls(id, patience, TimeProvider.System, logger));
    }

    /// <inheritdoc/>
    public string Id { get; }

    /// <inheritdoc/>
    /// <exception cref="StoreReadOnlyException">Always.</exception>
    public ValueTask<IBlobWriter> BeginAsync(BlobKey key, long? expectedLength, CancellationToken cancellationToken) =>
        throw new StoreReadOnlyException(Id);

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        _bytes.ReadAsync(key, _shape, part, offset, buffer, segment => _address(segment), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken) =>
        ValueTask.FromResult<BlobStat?>(new BlobStat(_shape.DataLength, _shape.IndexLength));

    /// <inheritdoc/>
    /// <exception cref="StoreReadOnlyException">Always.</exception>
    public ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken) =>
        throw new StoreReadOnlyException(Id);

    /// <inheritdoc/>
    /// <remarks>Nothing: an address tells of one object.</remarks>
    public IAsyncEnumerable<BlobEntry> ListAsync(CancellationToken cancellationToken) =>
        AsyncEnumerable.Empty<BlobEntry>();

    /// <inheritdoc/>
    public void Dispose() => _transport.Dispose();
}
