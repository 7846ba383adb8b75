using Registry.Storage.Blobs;

namespace Registry.Storage.Domain;

/// <summary>One stored blob of an image: where its bytes are, and what verifies them.</summary>
public sealed class ImageLocation
{
    // EF's way in.
    private ImageLocation(
        string imageId,
        string storeId,
        long generation,
        long dataLength,
        long indexLength,
        byte[] indexDigest,
        DateTimeOffset createdAt)
    {
        ImageId = imageId;
        StoreId = storeId;
        Generation = generation;
        DataLength = dataLength;
        IndexLength = indexLength;
        IndexDigest = indexDigest;
        CreatedAt = createdAt;
    }

    /// <summary>Describes a blob that is complete in its store.</summary>
    /// <param name="key">The blob.</param>
    /// <param name="storeId">The store it is in.</param>
    /// <param name="dataLength">Bytes of data, 0 or more.</param>
    /// <param name="indexLength">Bytes of index.</param>
    /// <param name="indexDigest">SHA-256 of the index's root, 32 bytes.</param>
    /// <param name="now">The present.</param>
    public ImageLocation(
        BlobKey key,
        string storeId,
        long dataLength,
        long indexLength,
        ReadOnlySpan<byte> indexDigest,
        DateTimeOffset now)
        : this(
            key.ImageId,
            storeId,
            key.Generation,
            dataLength,
            indexLength,
            indexDigest.ToArray(),
            Timestamps.Stored(now))
    {
        ArgumentOutOfRangeException.ThrowIfNegative(dataLength);
        ArgumentOutOfRangeException.ThrowIfNegative(indexLength);
        ArgumentOutOfRangeException.ThrowIfNotEqual(indexDigest.Length, 32);
    }

    /// <summary>The image.</summary>
    public string ImageId { get; private set; }

    /// <summary>The store's id in the configuration.</summary>
    public string StoreId { get; private set; }

    /// <summary>The attempt that wrote the blob, 1 or more; each upload, import and copy has a number of its own.</summary>
    public long Generation { get; private set; }

    /// <summary>Bytes of data.</summary>
    public long DataLength { get; private set; }

    /// <summary>Bytes of index.</summary>
    public long IndexLength { get; private set; }

#pragma warning disable CA1819 // a value of 32 bytes that EF maps; nobody writes to it
    /// <summary>SHA-256 of the index's root, 32 bytes.</summary>
    public byte[] IndexDigest { get; private set; }
#pragma warning restore CA1819

    /// <summary>When the image came to the store, UTC; a repair leaves it, and so the order of the locations.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When its bytes were found damaged or missing, UTC; null while nobody found anything.</summary>
    public DateTimeOffset? DamagedAt { get; private set; }

    /// <summary>Where the bytes were taken over from, as the client named it; null when they were uploaded.</summary>
    public string? Url { get; private set; }

    /// <summary>What clients noted about the place, a JSON object; null for nothing.</summary>
    public string? Metadata { get; private set; }

    /// <summary>The blob's name in its store.</summary>
    public BlobKey Key => new(ImageId, Generation);

    /// <summary>Describes a blob in another store that has the same bytes.</summary>
    /// <param name="key">The name of the copy.</param>
    /// <param name="storeId">The store that the copy is in.</param>
    /// <param name="now">The present.</param>
    public ImageLocation CopyAs(BlobKey key, string storeId, DateTimeOffset now) =>
        new(key, storeId, DataLength, IndexLength, IndexDigest, now);

    /// <summary>Records what clients say about the place.</summary>
    /// <param name="url">Where the bytes were taken over from; null keeps what is recorded.</param>
    /// <param name="metadata">A JSON object; null for nothing.</param>
    public void Describe(string? url, string? metadata)
    {
        Url = url ?? Url;
        Metadata = metadata;
    }
}
