using Registry.Storage.Blobs;

namespace Registry.Storage.Domain;

/// <summary>Bytes in a store that wait to become an image's: uploaded or fetched, whole and durable, not yet
/// imported.</summary>
/// <remarks>An image has at most one. Any replica can go on from it.</remarks>
/// <param name="ImageId">The image.</param>
/// <param name="Generation">The upload that made the blob, 1 or more.</param>
/// <param name="StoreId">The store it is in.</param>
/// <param name="DataLength">Bytes of data, 0 or more.</param>
/// <param name="IndexLength">Bytes of index.</param>
/// <param name="IndexDigest">SHA-256 of the index's root, 32 bytes.</param>
/// <param name="Checksum">MD5 of the data, lower-case hex.</param>
/// <param name="HashAlgorithm">Algorithm of <paramref name="HashValue"/>.</param>
/// <param name="HashValue">Secure hash of the data, lower-case hex.</param>
/// <param name="DiskBytes">Size in bytes of the disk inside, where it was mapped; else null.</param>
/// <param name="Form">What has been done to the bytes since they came, a word; which, the importer decides.</param>
/// <param name="Inspection">What the bytes were found to be, as the importer wrote it down.</param>
public sealed record StagedBlob(
    string ImageId,
    long Generation,
    string StoreId,
    long DataLength,
    long IndexLength,
#pragma warning disable CA1819 // a value of 32 bytes that EF maps; nobody writes to it
    byte[] IndexDigest,
#pragma warning restore CA1819
    string Checksum,
    string HashAlgorithm,
    string HashValue,
    long? DiskBytes,
    string Form,
    string Inspection)
{
    /// <summary>The blob.</summary>
    public BlobKey Key => new(ImageId, Generation);

    /// <summary>Describes the blob as a location of the image's bytes.</summary>
    /// <param name="now">The present.</param>
    public ImageLocation AsLocation(DateTimeOffset now) =>
        new(Key, StoreId, DataLength, IndexLength, IndexDigest, now);
}
