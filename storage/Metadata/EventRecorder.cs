using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Notes with every save what it does to images, members and metadata definitions, and which tasks are new, in the
/// same transaction. Every such change goes through a save, so none can be forgotten.</summary>
internal sealed class EventRecorder(EventSelection events, TimeProvider time) : SaveChangesInterceptor
{
    private const string UploadError = "image.upload.error";

    /// <inheritdoc/>
    public override async ValueTask<InterceptionResult<int>> SavingChangesAsync(
        DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is RegistryDb db)
        {
            await RecordAsync(db, cancellationToken).ConfigureAwait(false);
        }

        return result;
    }

    private async Task RecordAsync(RegistryDb db, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var happened = new List<OutboxEvent>();
        var deleted = new HashSet<string>(StringComparer.Ordinal);
        foreach (var entry in db.ChangeTracker.Entries<Image>().ToList())
        {
            var types = TypesOf(entry);
            if (entry.Entity.Status == ImageStatus.Deleted)
            {
                deleted.Add(entry.Entity.Id);
            }

            if (!types.Any(events.Wants))
            {
                continue;
            }

            var properties = await PropertiesAsync(db, entry, cancellationToken).ConfigureAwait(false);
            var tags = await TagsAsync(db, entry, cancellationToken).ConfigureAwait(false);
            happened.AddRange(types.Select(type => OutboxEvent.Create(
                type, entry.Entity.Id, EventData.OfImage(entry.Entity, properties, tags, type == UploadError), now)));
        }

        foreach (var entry in db.ChangeTracker.Entries<ImageMember>().ToList())
        {
            // Of an image that is deleted everybody hears as it is.
            if (TypeOf(entry) is { } type && !deleted.Contains(entry.Entity.ImageId))
            {
                happened.Add(OutboxEvent.Create(
                    type, entry.Entity.ImageId,
                    EventData.OfMember(entry.Entity, entry.State == EntityState.Deleted ? now : null), now));
            }
        }

        foreach (var entry in db.ChangeTracker.Entries<Job>().Where(e => e.State == EntityState.Added).ToList())
        {
            happened.AddRange(TaskEvents.Of(events, entry.Entity, now, "task.create"));
        }

        happened.AddRange(MetadefEvents.Of(db, now));
        db.Events.AddRange(happened.Where(e => events.Wants(e.Type)));
    }

    private static IReadOnlyList<string> TypesOf(EntityEntry<Image> entry)
    {
        switch (entry.State)
        {
            case EntityState.Added:
                return ["image.create"];
            case EntityState.Modified:
                break;
            default:
                return [];
        }

        // The numbers by which the registry itself keeps order are nobody else's business.
        var isNews = entry.Properties.Any(
            p => p.IsModified && p.Metadata.Name is not (nameof(Image.Revision) or nameof(Image.Generation)));
        var before = entry.Property(i => i.Status).OriginalValue;
        return (before, entry.Entity.Status) switch
        {
            _ when !isNews => [],
            (not ImageStatus.Deleted, ImageStatus.Deleted) => ["image.delete"],
            (ImageStatus.Queued, ImageStatus.Saving) => ["image.prepare"],
            (ImageStatus.Saving, ImageStatus.Queued) => [UploadError, "image.update"],
            (not (ImageStatus.Active or ImageStatus.Deactivated), ImageStatus.Active) =>
                ["image.upload", "image.activate"],
            _ => ["image.update"],
        };
    }

    private static string? TypeOf(EntityEntry<ImageMember> entry) => entry.State switch
    {
        EntityState.Added => "image.member.create",
        EntityState.Modified => "image.member.update",
        EntityState.Deleted => "image.member.delete",
        _ => null,
    };

    // Whoever saves an image has not always loaded what hangs on it. Of a deleted one, what it had is told.
    private static async Task<IReadOnlyList<ImageProperty>> PropertiesAsync(
        RegistryDb db, EntityEntry<Image> entry, CancellationToken cancellationToken)
    {
        var id = entry.Entity.Id;
        return entry switch
        {
            { Entity.Status: ImageStatus.Deleted } => Gone<ImageProperty>(db, p => p.ImageId == id),
            { State: EntityState.Added } => [.. entry.Entity.Properties],
            _ when entry.Collection(nameof(Image.Properties)).IsLoaded => [.. entry.Entity.Properties],
            _ => await db.Properties.AsNoTracking().Where(p => p.ImageId == id).ToListAsync(cancellationToken)
                .ConfigureAwait(false),
        };
    }

    private static async Task<IReadOnlyList<ImageTag>> TagsAsync(
        RegistryDb db, EntityEntry<Image> entry, CancellationToken cancellationToken)
    {
        var id = entry.Entity.Id;
        return entry switch
        {
            { Entity.Status: ImageStatus.Deleted } => Gone<ImageTag>(db, t => t.ImageId == id),
            { State: EntityState.Added } => [.. entry.Entity.Tags],
            _ when entry.Collection(nameof(Image.Tags)).IsLoaded => [.. entry.Entity.Tags],
            _ => await db.Tags.AsNoTracking().Where(t => t.ImageId == id).ToListAsync(cancellationToken)
                .ConfigureAwait(false),
        };
    }

    private static List<T> Gone<T>(RegistryDb db, Func<T, bool> isMeant)
        where T : class =>
        [
            .. db.ChangeTracker.Entries<T>().Where(e => e.State == EntityState.Deleted).Select(e => e.Entity)
                .Where(isMeant),
        ];
}
