using Registry.Storage.Blobs;

namespace Registry.Storage.Metadata;

/// <summary>The promise to upload an image's bytes. While it stands its blob is not garbage and its image is
/// saving.</summary>
/// <param name="Id">The upload's own id.</param>
/// <param name="ImageId">The image.</param>
/// <param name="Generation">The upload's generation, part of the blob's name; 1 or more.</param>
/// <param name="StoreId">The store the blob goes to.</param>
/// <param name="Owner">The process that uploads, or the job.</param>
/// <param name="ExpiresAt">When anybody may take it for dead, UTC, by the database's clock.</param>
/// <param name="ReservedBytes">Room promised to it of its project's quota, 0 or more.</param>
public sealed record UploadIntent(
    Guid Id,
    string ImageId,
    long Generation,
    string StoreId,
    string Owner,
    DateTimeOffset ExpiresAt,
    long ReservedBytes)
{
    /// <summary>The blob to write.</summary>
    public BlobKey Key => new(ImageId, Generation);
}
