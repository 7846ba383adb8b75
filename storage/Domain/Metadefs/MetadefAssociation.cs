namespace Registry.Storage.Domain.Metadefs;

/// <summary>That a namespace's definitions are for a type of resources.</summary>
public sealed class MetadefAssociation
{
    internal MetadefAssociation(
        Guid namespaceId, string name, string? prefix, string? propertiesTarget, DateTimeOffset createdAt)
    {
        NamespaceId = namespaceId;
        Name = name;
        Prefix = prefix;
        PropertiesTarget = propertiesTarget;
        CreatedAt = createdAt;
    }

    /// <summary>The namespace.</summary>
    public Guid NamespaceId { get; private set; }

    /// <summary>The type of resources, 1 to 80 characters.</summary>
    public string Name { get; private set; }

    /// <summary>What names of properties begin with on such a resource, at most 80 characters.</summary>
    public string? Prefix { get; private set; }

    /// <summary>Which of the resource's metadata is meant, at most 80 characters.</summary>
    public string? PropertiesTarget { get; private set; }

    /// <summary>When it was said, UTC. It never changes.</summary>
    public DateTimeOffset CreatedAt { get; private set; }
}

/// <summary>A type of resources that some namespace was once associated with.</summary>
/// <param name="Name">1 to 80 characters.</param>
/// <param name="CreatedAt">When it was first named, UTC.</param>
public sealed record MetadefResourceType(string Name, DateTimeOffset CreatedAt);
