namespace Registry.Storage.Domain;

/// <summary>Who may see an image. See spec/glance-v2.md section 3.3.</summary>
public enum ImageVisibility
{
    /// <summary>Everybody, in everybody's list.</summary>
    Public,

    /// <summary>Everybody who asks for it by id; in others' lists only on request.</summary>
    Community,

    /// <summary>The owner and the image's members. The default.</summary>
    Shared,

    /// <summary>The owner alone.</summary>
    Private,
}

/// <summary>The names of the visibilities.</summary>
public static class ImageVisibilities
{
    /// <summary>Glance's word for a visibility.</summary>
    public static string Name(ImageVisibility visibility) => visibility switch
    {
        ImageVisibility.Public => "public",
        ImageVisibility.Community => "community",
        ImageVisibility.Shared => "shared",
        ImageVisibility.Private => "private",
        _ => throw new ArgumentOutOfRangeException(nameof(visibility), visibility, "No such visibility."),
    };

    /// <summary>Reads Glance's word for a visibility. Case-sensitive.</summary>
    public static bool TryParse(string? name, out ImageVisibility visibility)
    {
        (var known, visibility) = name switch
        {
            "public" => (true, ImageVisibility.Public),
            "community" => (true, ImageVisibility.Community),
            "shared" => (true, ImageVisibility.Shared),
            "private" => (true, ImageVisibility.Private),
            _ => (false, default),
        };
        return known;
    }

    /// <summary>Reads a name that we wrote ourselves.</summary>
    internal static ImageVisibility Parse(string name) =>
        TryParse(name, out var visibility) ? visibility : throw new KeyNotFoundException($"No visibility '{name}'.");
}
