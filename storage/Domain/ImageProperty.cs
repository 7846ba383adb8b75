namespace Registry.Storage.Domain;

/// <summary>An additional attribute of an image.</summary>
public sealed class ImageProperty
{
    /// <summary>The value of a property that clients set to null.</summary>
    public const string Null = "";

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

    /// <summary>Whether clients are shown null. Only where a text must be an id, an empty one stands for null.</summary>
    public bool IsNull => Value == Null && MayBeNull(Name);

    /// <summary>Whether the value of a property may be null instead of a text: a UUID, or none.</summary>
    public static bool MayBeNull(string name) => name is "kernel_id" or "ramdisk_id";
}
