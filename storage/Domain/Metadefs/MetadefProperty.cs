namespace Registry.Storage.Domain.Metadefs;

/// <summary>The definition of a property.</summary>
public sealed class MetadefProperty
{
    internal MetadefProperty(Guid namespaceId, string name, string schema, DateTimeOffset createdAt)
    {
        NamespaceId = namespaceId;
        Name = name;
        Schema = schema;
        CreatedAt = createdAt;
        UpdatedAt = createdAt;
    }

    /// <summary>The namespace.</summary>
    public Guid NamespaceId { get; private set; }

    /// <summary>The property's name, 1 to 80 characters.</summary>
    public string Name { get; private set; }

    /// <summary>What the property may be: a JSON object, checked and without the name.</summary>
    public string Schema { get; private set; }

    /// <summary>When it was added, UTC.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When it last changed, UTC.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    internal void Change(string schema, DateTimeOffset now)
    {
        Schema = schema;
        UpdatedAt = Timestamps.Stored(now);
    }
}
