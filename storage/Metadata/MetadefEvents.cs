using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Storage.Metadata;

/// <summary>What a save does to metadata definitions, as Glance tells it: of a namespace that is deleted, or of all parts of
/// one kind that are, one thing and not one of each part.</summary>
internal static class MetadefEvents
{
    /// <summary>Finds out, before the save.</summary>
    public static IReadOnlyList<OutboxEvent> Of(RegistryDb db, DateTimeOffset now)
    {
        var happened = new List<OutboxEvent>();
        foreach (var entry in db.ChangeTracker.Entries<MetadefNamespace>().ToList())
        {
            var definitions = entry.Entity;
            if (TypeOf(entry) is { } type)
            {
                var oldName = entry.State == EntityState.Modified
                    ? entry.Property(n => n.Name).OriginalValue
                    : definitions.Name;
                Add(type, entry.State == EntityState.Deleted ? now : null, oldName);
            }

            if (entry.State == EntityState.Deleted)
            {
                continue;
            }

            foreach (var kind in definitions.Cleared.Order(StringComparer.Ordinal))
            {
                Add($"delete_{kind}", deletedAt: null, definitions.Name);
            }

            happened.AddRange(
            [
                .. PartsOf<MetadefAssociation>(
                    db, definitions, "resource_type", cleared: "", a => (a.NamespaceId, a.Name, a.CreatedAt),
                    MetadefEventData.OfResourceType, now),
                .. PartsOf<MetadefProperty>(
                    db, definitions, "property", "properties", p => (p.NamespaceId, p.Name, p.CreatedAt),
                    MetadefEventData.OfProperty, now),
                .. PartsOf<MetadefObject>(
                    db, definitions, "object", "objects", o => (o.NamespaceId, o.Name, o.CreatedAt),
                    MetadefEventData.OfObject, now),
                .. PartsOf<MetadefTag>(
                    db, definitions, "tag", "tags", t => (t.NamespaceId, t.Name, t.CreatedAt), MetadefEventData.OfTag,
                    now),
            ]);

            void Add(string what, DateTimeOffset? deletedAt, string oldName) => happened.Add(OutboxEvent.Create(
                $"metadef_namespace.{what}", definitions.Name,
                MetadefEventData.OfNamespace(definitions, oldName, deletedAt), now));
        }

        return happened;
    }

    private static string? TypeOf(EntityEntry<MetadefNamespace> entry) => entry.State switch
    {
        EntityState.Added => "create",
        EntityState.Deleted => "delete",

        // A part that changes only advances the version.
        EntityState.Modified when entry.Properties.Any(
            p => p.IsModified && p.Metadata.Name != nameof(MetadefNamespace.Version)) => "update",
        _ => null,
    };

    private static IEnumerable<OutboxEvent> PartsOf<T>(
        RegistryDb db,
        MetadefNamespace definitions,
        string kind,
        string cleared,
        Func<T, (Guid NamespaceId, string Name, DateTimeOffset CreatedAt)> of,
        Func<MetadefPart, T, string> data,
        DateTimeOffset now)
        where T : class
    {
        var entries = db.ChangeTracker.Entries<T>().Where(e => of(e.Entity).NamespaceId == definitions.Id).ToList();
        var removed = entries.Where(e => e.State == EntityState.Deleted).Select(e => e.Entity).ToList();
        var added = entries.Where(e => e.State == EntityState.Added).Select(e => e.Entity).ToList();

        // A name is part of the key: who is renamed goes, and comes back as old as it was.
        var renamed = removed.Count == 1 && added.Count == 1 && of(removed[0]).CreatedAt == of(added[0]).CreatedAt;
        if (renamed)
        {
            yield return Tell("update", added[0], of(removed[0]).Name, deletedAt: null);
            yield break;
        }

        foreach (var part in definitions.Cleared.Contains(cleared) ? [] : removed)
        {
            yield return Tell("delete", part, oldName: null, now);
        }

        foreach (var part in added)
        {
            yield return Tell("create", part, oldName: null, deletedAt: null);
        }

        foreach (var entry in entries.Where(e => e.State == EntityState.Modified))
        {
            var name = entry.Property("Name").OriginalValue as string;
            yield return Tell("update", entry.Entity, name, deletedAt: null);
        }

        OutboxEvent Tell(string what, T part, string? oldName, DateTimeOffset? deletedAt) => OutboxEvent.Create(
            $"metadef_{kind}.{what}", definitions.Name,
            data(new MetadefPart(definitions.Name, oldName, deletedAt), part), now);
    }
}
