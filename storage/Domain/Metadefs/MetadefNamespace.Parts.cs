namespace Registry.Storage.Domain.Metadefs;

/// <content>What is in a namespace: properties, objects, tags, and the resource types that they are for.</content>
public sealed partial class MetadefNamespace
{
    /// <summary>Most properties, objects, tags, and resource types, of each.</summary>
    public const int PartsMax = 2000;

    private readonly List<MetadefProperty> _properties = [];
    private readonly List<MetadefObject> _objects = [];
    private readonly List<MetadefTag> _tags = [];
    private readonly List<MetadefAssociation> _associations = [];

    /// <summary>Definitions of properties; names are unique.</summary>
    public IReadOnlyCollection<MetadefProperty> Properties => _properties;

    /// <summary>Definitions of objects, which group properties; names are unique.</summary>
    public IReadOnlyCollection<MetadefObject> Objects => _objects;

    /// <summary>Tags; names are unique, whatever their case.</summary>
    public IReadOnlyCollection<MetadefTag> Tags => _tags;

    /// <summary>Resource types that the definitions are for; names are unique.</summary>
    public IReadOnlyCollection<MetadefAssociation> Associations => _associations;

    /// <summary>Adds the definition of a property.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: there is one of that name.
    /// -or- <see cref="ErrorCode.TooLarge"/>: there are <see cref="PartsMax"/>.</exception>
    public MetadefProperty AddProperty(string name, string schema, DateTimeOffset now) => Add(
        _properties, p => p.Name == name, "property", name,
        new MetadefProperty(Id, name, schema, Timestamps.Stored(now)));

    /// <summary>Replaces the definition of a property, and its name.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.
    /// -or- <see cref="ErrorCode.Conflict"/>: the new name is another's.</exception>
    public MetadefProperty ReplaceProperty(string name, string newName, string schema, DateTimeOffset now)
    {
        var old = FindProperty(name);
        if (name != newName)
        {
            RequireFree(_properties, p => p.Name == newName, "property", newName);
            _properties.Remove(old);
            old = new MetadefProperty(Id, newName, schema, old.CreatedAt);
            _properties.Add(old);
        }

        old.Change(schema, now);
        return old;
    }

    /// <summary>The definition of a property.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.</exception>
    public MetadefProperty FindProperty(string name) => Find(_properties, p => p.Name == name, "property", name);

    /// <summary>Removes the definition of a property.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>, <see cref="ErrorCode.Protected"/>.
    /// </exception>
    public void RemoveProperty(string name)
    {
        var property = FindProperty(name);
        RequireUnprotected();
        _properties.Remove(property);
    }

    /// <summary>Removes all definitions of properties.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Protected"/>.</exception>
    public void ClearProperties() => Clear(_properties, "properties");

    /// <summary>Adds the definition of an object.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: there is one of that name.
    /// -or- <see cref="ErrorCode.TooLarge"/>: there are <see cref="PartsMax"/>.</exception>
    public MetadefObject AddObject(MetadefObjectContent content, DateTimeOffset now) => Add(
        _objects, o => o.Name == content.Name, "object", content.Name,
        new MetadefObject(Id, content, Timestamps.Stored(now)));

    /// <summary>Replaces the definition of an object, and its name.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.
    /// -or- <see cref="ErrorCode.Conflict"/>: the new name is another's.</exception>
    public MetadefObject ReplaceObject(string name, MetadefObjectContent content, DateTimeOffset now)
    {
        var old = FindObject(name);
        if (name != content.Name)
        {
            RequireFree(_objects, o => o.Name == content.Name, "object", content.Name);
            _objects.Remove(old);
            old = new MetadefObject(Id, content, old.CreatedAt);
            _objects.Add(old);
        }

        old.Change(content, now);
        return old;
    }

    /// <summary>The definition of an object.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.</exception>
    public MetadefObject FindObject(string name) => Find(_objects, o => o.Name == name, "object", name);

    /// <summary>Removes the definition of an object.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>, <see cref="ErrorCode.Protected"/>.
    /// </exception>
    public void RemoveObject(string name)
    {
        var found = FindObject(name);
        RequireUnprotected();
        _objects.Remove(found);
    }

    /// <summary>Removes all definitions of objects.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Protected"/>.</exception>
    public void ClearObjects() => Clear(_objects, "objects");

    /// <summary>Adds a tag.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: there is one of that name.
    /// -or- <see cref="ErrorCode.TooLarge"/>: there are <see cref="PartsMax"/>.</exception>
    public MetadefTag AddTag(string name, DateTimeOffset now)
    {
        var tag = new MetadefTag(Id, name, Timestamps.Stored(now));
        return Add(_tags, t => t.NameKey == tag.NameKey, "tag", name, tag);
    }

    /// <summary>Makes the tags exactly these.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: a name is there twice.
    /// -or- <see cref="ErrorCode.TooLarge"/>: there are more than <see cref="PartsMax"/>.</exception>
    public void ReplaceTags(IReadOnlyCollection<string> names, DateTimeOffset now)
    {
        var wanted = names.Select(MetadefTag.Key).ToHashSet(StringComparer.Ordinal);
        if (wanted.Count != names.Count)
        {
            throw new RegistryException(ErrorCode.Conflict, $"A tag is named twice for namespace {Name}.");
        }

        _tags.RemoveAll(t => !wanted.Contains(t.NameKey));
        foreach (var name in names)
        {
            if (_tags.Find(t => t.NameKey == MetadefTag.Key(name)) is { } kept)
            {
                kept.Rename(name, now);
            }
            else
            {
                AddTag(name, now);
            }
        }
    }

    /// <summary>Renames a tag.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.
    /// -or- <see cref="ErrorCode.Conflict"/>: the new name is another's.</exception>
    public MetadefTag RenameTag(string name, string newName, DateTimeOffset now)
    {
        var tag = FindTag(name);
        var key = MetadefTag.Key(newName);
        if (key != tag.NameKey)
        {
            RequireFree(_tags, t => t.NameKey == key, "tag", newName);
            _tags.Remove(tag);
            tag = new MetadefTag(Id, newName, tag.CreatedAt);
            _tags.Add(tag);
        }

        tag.Rename(newName, now);
        return tag;
    }

    /// <summary>A tag, whatever the case of its name.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.</exception>
    public MetadefTag FindTag(string name)
    {
        var key = MetadefTag.Key(name);
        return Find(_tags, t => t.NameKey == key, "tag", name);
    }

    /// <summary>Removes a tag.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>, <see cref="ErrorCode.Protected"/>.
    /// </exception>
    public void RemoveTag(string name)
    {
        var tag = FindTag(name);
        RequireUnprotected();
        _tags.Remove(tag);
    }

    /// <summary>Removes all tags.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Protected"/>.</exception>
    public void ClearTags() => Clear(_tags, "tags");

    /// <summary>Says that the definitions are for a type of resources.</summary>
    /// <param name="name">The type, for example <c>OS::Nova::Flavor</c>.</param>
    /// <param name="prefix">What names of properties begin with on such a resource; null for nothing.</param>
    /// <param name="propertiesTarget">Which of the resource's metadata is meant; null where there is only one.</param>
    /// <param name="now">The present.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: that was said already.
    /// -or- <see cref="ErrorCode.TooLarge"/>: there are <see cref="PartsMax"/>.</exception>
    public MetadefAssociation Associate(string name, string? prefix, string? propertiesTarget, DateTimeOffset now) => Add(
        _associations, a => a.Name == name, "resource type", name,
        new MetadefAssociation(Id, name, prefix, propertiesTarget, Timestamps.Stored(now)));

    /// <summary>Says that the definitions are not for a type of resources any more.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>, <see cref="ErrorCode.Protected"/>.
    /// </exception>
    public void Dissociate(string name)
    {
        var association = FindAssociation(name);
        RequireUnprotected();
        _associations.Remove(association);
    }

    /// <summary>What was said of a type of resources.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: nothing.</exception>
    public MetadefAssociation FindAssociation(string name) =>
        Find(_associations, a => a.Name == name, "resource type", name);

    private void Clear<T>(List<T> parts, string kind)
    {
        RequireUnprotected();
        parts.Clear();
        Cleared.Add(kind);
    }

    private T Add<T>(List<T> parts, Predicate<T> isSame, string what, string name, T part)
    {
        RequireFree(parts, isSame, what, name);
        if (parts.Count >= PartsMax)
        {
            throw new RegistryException(
                ErrorCode.TooLarge, $"Namespace {Name} cannot have more than {PartsMax} of this kind: {what}.");
        }

        parts.Add(part);
        return part;
    }

    private void RequireFree<T>(List<T> parts, Predicate<T> isSame, string what, string name)
    {
        if (parts.Exists(isSame))
        {
            throw new RegistryException(ErrorCode.Conflict, $"Namespace {Name} has {what} {name} already.");
        }
    }

    private T Find<T>(List<T> parts, Predicate<T> isMeant, string what, string name) => parts.Find(isMeant)
        ?? throw new RegistryException(ErrorCode.NotFound, $"Namespace {Name} has no {what} {name}.");
}
