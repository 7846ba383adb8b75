namespace Registry.Api.Adoption;

/// <summary>An image as Glance's database has it; nothing in it is checked.</summary>
internal sealed record GlanceImage
{
    public required string Id { get; init; }
    public required string Status { get; init; }
    public required string Visibility { get; init; }
    public string? Name { get; init; }
    public string? Owner { get; init; }
    public string? DiskFormat { get; init; }
    public string? ContainerFormat { get; init; }
    public long? Size { get; init; }
    public long? VirtualSize { get; init; }
    public string? Checksum { get; init; }
    public string? HashAlgorithm { get; init; }
    public string? HashValue { get; init; }
    public long MinDisk { get; init; }
    public long MinRam { get; init; }
    public bool IsProtected { get; init; }
    public bool IsHidden { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset UpdatedAt { get; init; }
}

/// <summary>What hangs on an image in Glance's database: deleted rows are not among it.</summary>
/// <param name="Properties">Names and values; Glance shows a value that is null as an empty text.</param>
/// <param name="Tags">Tags.</param>
/// <param name="Members">Members.</param>
/// <param name="Locations">Addresses of the bytes, oldest first. They may hold keys: not for logs.</param>
internal sealed record GlanceParts(
    IReadOnlyList<KeyValuePair<string, string>> Properties,
    IReadOnlyList<string> Tags,
    IReadOnlyList<GlanceMember> Members,
    IReadOnlyList<string> Locations);

/// <summary>A member of an image.</summary>
internal sealed record GlanceMember(string Project, string Status, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

/// <summary>A namespace of metadata definitions.</summary>
internal sealed record GlanceNamespace(
    long Id,
    string Name,
    string? DisplayName,
    string? Description,
    string? Visibility,
    bool IsProtected,
    string? Owner,
    DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt);

/// <summary>What is in a namespace, by its kind.</summary>
internal sealed record GlanceDefinitions(
    IReadOnlyList<GlanceDefinition> Properties,
    IReadOnlyList<GlanceDefinition> Objects,
    IReadOnlyList<GlanceDefinition> Tags,
    IReadOnlyList<GlanceAssociation> Associations);

/// <summary>A property, an object or a tag.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Description">An object's description.</param>
/// <param name="Required">An object's properties that must be there, separated by commas.</param>
/// <param name="Schema">JSON: what a property may be, or an object's properties.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="UpdatedAt">When it last changed.</param>
internal sealed record GlanceDefinition(
    string Name,
    string? Description,
    string? Required,
    string? Schema,
    DateTimeOffset CreatedAt,
    DateTimeOffset UpdatedAt);

/// <summary>That a namespace is for a type of resources.</summary>
internal sealed record GlanceAssociation(
    string Type, string? Prefix, string? PropertiesTarget, DateTimeOffset CreatedAt);
