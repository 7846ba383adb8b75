namespace Registry.Storage.Domain.Metadefs;

/// <summary>What users say of an object.</summary>
/// <param name="Name">1 to 80 characters.</param>
/// <param name="Description">A description for people.</param>
/// <param name="Required">Names of properties that must be there: a JSON array of strings; null for none.</param>
/// <param name="Properties">Definitions of properties by name: a JSON object, checked; null for none.</param>
public sealed record MetadefObjectContent(string Name, string? Description, string? Required, string? Properties);

/// <summary>The definition of an object: a group of properties.</summary>
public sealed class MetadefObject
{
    internal MetadefObject(Guid namespaceId, MetadefObjectContent content, DateTimeOffset createdAt)
        : this(namespaceId, content.Name, createdAt) => Change(content, createdAt);

    private MetadefObject(Guid namespaceId, string name, DateTimeOffset createdAt)
    {
        NamespaceId = namespaceId;
        Name = name;
        CreatedAt = createdAt;
        UpdatedAt = createdAt;
    }

    /// <summary>The namespace.</summary>
    public Guid NamespaceId { get; private set; }

    /// <summary>The object's name, 1 to 80 characters.</summary>
    public string Name { get; private set; }

    /// <summary>A description for people.</summary>
    public string? Description { get; private set; }

    /// <summary>Names of properties that must be there: a JSON array of strings; null for none.</summary>
    public string? Required { get; private set; }

    /// <summary>Definitions of properties by name: a JSON object; null for none.</summary>
    public string? Properties { get; private set; }

    /// <summary>When it was added, UTC.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When it last changed, UTC.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    internal void Change(MetadefObjectContent content, DateTimeOffset now)
    {
        Description = content.Description;
        Required = content.Required;
        Properties = content.Properties;
        UpdatedAt = Timestamps.Stored(now);
    }
}
