namespace Registry.Storage.Blobs;

/// <summary>Names the bytes that one attempt writes: an image and the generation of the attempt.</summary>
/// <remarks>Every attempt at an upload, import or copy has a generation of its own, so a writer that was fenced off can
/// neither overwrite nor remove what another attempt wrote.</remarks>
/// <param name="ImageId">Image id, a canonical dashed UUID (checked: it becomes part of paths and object
/// names).</param>
/// <param name="Generation">Generation of the attempt, 1 or more; never used twice for an image.</param>
public readonly record struct BlobKey(string ImageId, long Generation);

/// <summary>The two byte streams that make a blob.</summary>
public enum BlobPart
{
    /// <summary>The image's bytes, as uploaded.</summary>
    Data,

    /// <summary>Digests and allocation map: see <see cref="BlobIndex"/>.</summary>
    Index,
}
