namespace Registry.Storage.Domain;

/// <summary>An additional attribute of an image.</summary>
public sealed class ImageProperty
{
    internal ImageProperty(string imageId, string name, string value)
    {
        ImageId = imageId;
        Name = name;
        Value = value;
    }

    /// <summary>The image.</summary>
    public string ImageId { get; private set; }

    /// <summary>Name, 1 to 255 characters, case-sensitive.</summary>
    public string Name { get; private set; }

    /// <summary>Value, never null.</summary>
    public string Value { get; internal set; }
}
