namespace Registry.Storage.Domain.Metadefs;

/// <summary>What users say of a namespace.</summary>
/// <param name="Name">1 to 80 characters, unique among all projects' namespaces.</param>
/// <param name="DisplayName">Name for people, at most 80 characters.</param>
/// <param name="Description">At most 500 characters.</param>
/// <param name="IsPublic">Whether others than the owner see it.</param>
/// <param name="IsProtected">Whether deleting it, or anything in it, is refused.</param>
/// <param name="Owner">The owning project; null is nobody's: everybody may see it, administrators may change
/// it.</param>
public sealed record MetadefSettings(
    string Name, string? DisplayName, string? Description, bool IsPublic, bool IsProtected, string? Owner);

/// <summary>A catalogue of definitions of metadata: which properties exist for which kinds of resources, and what they
/// may be (spec/glance-v2.md, 11). The registry keeps definitions; it holds no image to them.</summary>
public sealed partial class MetadefNamespace
{
    private MetadefNamespace(Guid id, string name, DateTimeOffset createdAt)
    {
        Id = id;
        Name = name;
        CreatedAt = createdAt;
        UpdatedAt = createdAt;
    }

    /// <summary>Its own id, which nobody is shown: the name may change.</summary>
    public Guid Id { get; private set; }

    /// <summary>The name in addresses.</summary>
    public string Name { get; private set; }

    /// <summary>Name for people.</summary>
    public string? DisplayName { get; private set; }

    /// <summary>A description for people.</summary>
    public string? Description { get; private set; }

    /// <summary>Whether others than the owner see it.</summary>
    public bool IsPublic { get; private set; }

    /// <summary>Whether deleting it, or anything in it, is refused.</summary>
    public bool IsProtected { get; private set; }

    /// <summary>The owning project; null is nobody's.</summary>
    public string? Owner { get; private set; }

    /// <summary>When it was made, UTC, whole microseconds.</summary>
    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When its own attributes last changed, UTC, whole microseconds.</summary>
    public DateTimeOffset UpdatedAt { get; private set; }

    /// <summary>Another one with every saved change of it or of anything in it.</summary>
    public Guid Version { get; private set; } = Guid.NewGuid();

    /// <summary>The kinds of parts of which all were removed since it was loaded.</summary>
    internal HashSet<string> Cleared { get; } = new(StringComparer.Ordinal);

    /// <summary>Makes an empty namespace.</summary>
    public static MetadefNamespace Create(MetadefSettings settings, DateTimeOffset now)
    {
        var created = new MetadefNamespace(Guid.NewGuid(), settings.Name, Timestamps.Stored(now));
        created.Apply(settings);
        return created;
    }

    /// <summary>Replaces all attributes.</summary>
    public void Replace(MetadefSettings settings, DateTimeOffset now)
    {
        Apply(settings);
        UpdatedAt = Timestamps.Stored(now);
    }

    /// <summary>Refuses deletions while the namespace is protected.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Protected"/>.</exception>
    public void RequireUnprotected()
    {
        if (IsProtected)
        {
            throw new RegistryException(
                ErrorCode.Protected, $"Namespace {Name} is protected; nothing of it can be deleted.");
        }
    }

    /// <summary>Marks the next save as a change of this namespace.</summary>
    internal void Advance() => Version = Guid.NewGuid();

    private void Apply(MetadefSettings settings)
    {
        Name = settings.Name;
        DisplayName = settings.DisplayName;
        Description = settings.Description;
        IsPublic = settings.IsPublic;
        IsProtected = settings.IsProtected;
        Owner = settings.Owner;
    }
}
