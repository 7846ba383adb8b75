namespace Registry.Storage.Blobs;

/// <summary>A store whose blobs others can read for a while by addresses that it signs.</summary>
public interface IAddressedStore
{
    /// <summary>How a committed blob is cut into objects.</summary>
    /// <exception cref="BlobNotFoundException">There is no such blob.</exception>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    ValueTask<SegmentedBlob> ShapeAsync(BlobKey key, CancellationToken cancellationToken);

    /// <summary>Where a segment of a blob can be read. The address holds a signature: not for logs.</summary>
    /// <param name="key">The blob.</param>
    /// <param name="part">The part of it.</param>
    /// <param name="number">The segment, from 0.</param>
    /// <param name="life">How long the address is good for, in whole seconds; at most a week.</param>
    ValueTask<Uri> AddressAsync(BlobKey key, BlobPart part, long number, TimeSpan life);
}
