namespace Registry.Storage.Domain.Metadefs;

/// <summary>A tag that resources may be given.</summary>
public sealed class MetadefTag
{
    internal MetadefTag(Guid namespaceId, string name, DateTimeOffset createdAt)
    {
        NamespaceId = namespaceId;
        Name = name;
        NameKey = Key(name);
        CreatedAt = createdAt;
        UpdatedAt = createdAt;
    }

    /// <summary>The namespace.</summary>
    public Guid NamespaceId { get; private set; }

    /// <summary>The name without its case: what tags are told apart by.</summary>
    public string NameKey { get; private set; }

    /// <summary>The tag, 1 to 80 characters.</summary>
    public string Name { get; private set; }

    /// <summary>When it was added, UTC.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When it was last renamed, UTC.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    /// <summary>A name without its case.</summary>
    internal static string Key(string name) => name.ToUpperInvariant();

    /// <summary>Gives another spelling of the same name.</summary>
    internal void Rename(string name, DateTimeOffset now)
    {
        Name = name;
        UpdatedAt = Timestamps.Stored(now);
    }
}
