namespace Registry.Api.Schemas;

/// <summary>Registry:ImageSchema.</summary>
public sealed record ImageSchemaSection
{
    /// <summary>File that describes the custom properties of images, and says which of them every image must have, as
    /// Glance's schema-image.json; empty for those that Glance comes with.</summary>
    public string File { get; init; } = "";
}
