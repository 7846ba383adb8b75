namespace Registry.Storage.Blobs;

/// <summary>Names one upload's bytes: an image and the generation of the upload.</summary>
/// <remarks>A new upload has a new generation, so a writer that was fenced off can never overwrite the
/// winner.</remarks>
/// <param name="ImageId">Image id, a canonical dashed UUID (checked: it becomes part of paths and object
/// names).</param>
/// <param name="Generation">Upload generation, 1 or more.</param>
public readonly record struct BlobKey(string ImageId, long Generation);

/// <summary>The two byte streams that make a blob.</summary>
public enum BlobPart
{
    /// <summary>The image's bytes, as uploaded.</summary>
    Data,

    /// <summary>Digests and allocation map: see <see cref="BlobIndex"/>.</summary>
    Index,
}
