namespace Registry.Storage.Domain;

/// <summary>A word attached to an image.</summary>
public sealed class ImageTag
{
    internal ImageTag(string imageId, string value)
    {
        ImageId = imageId;
        Value = value;
    }

    /// <summary>The image.</summary>
    public string ImageId { get; private set; }

    /// <summary>The word, at most 255 characters, case-sensitive.</summary>
    public string Value { get; private set; }
}
