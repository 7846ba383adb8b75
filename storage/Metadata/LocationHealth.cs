using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Records which stored blobs were found damaged, so that reads use other locations, a repair is queued where
/// another location may be whole, and an event is raised where none is.</summary>
/// <param name="databases">The database.</param>
/// <param name="time">The clock.</param>
/// <param name="events">The events to raise; null for none.</param>
public sealed class LocationHealth(
    IDbContextFactory<RegistryDb> databases, TimeProvider time, EventSelection? events = null)
{
    /// <summary>Maximum number of repairs that are pending or running. A store that is mounted wrongly has damaged every
    /// image that is read: the repairs of the others are queued as these end.</summary>
    public const int RepairsMax = 32;

    /// <summary>The event of an image without a location that may be whole.</summary>
    public const string Damaged = "image.damaged";

    /// <summary>Marks a blob as damaged or missing. In the same transaction the repair is queued unless it is pending
    /// or running, or <see cref="RepairsMax"/> others are; when every location of the image is marked and this one is news, the event <see cref="Damaged"/> is
    /// raised instead. A blob that is marked already keeps the time when it was first found damaged.</summary>
    /// <param name="key">The blob. A later one of the image in the same store is left alone.</param>
    /// <param name="storeId">The store that the blob is in.</param>
    /// <param name="repair">The job that repairs the blob, with a unique key; null where the store takes no bytes.
    /// </param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>True when the mark is news.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// </exception>
    public Task<bool> MarkAsync(
        BlobKey key, string storeId, JobOrder? repair, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                // The lock keeps two findings from queuing the same repair, or from each taking the other for whole.
                await DatabaseDialect.LockAsync(db, key.ImageId, cancellationToken).ConfigureAwait(false);
                var isNews = await SetAsync(db, key, storeId, Timestamps.Stored(time.GetUtcNow()), cancellationToken)
                    .ConfigureAwait(false);
                var locations = await db.Locations.AsNoTracking().Where(l => l.ImageId == key.ImageId)
                    .ToListAsync(cancellationToken).ConfigureAwait(false);
                if (!locations.Exists(l => l.Key == key && l.StoreId == storeId))
                {
                    return false; // removed or replaced meanwhile
                }

                if (locations.TrueForAll(l => l.DamagedAt is not null))
                {
                    await RaiseAsync(db, locations, isNews, cancellationToken).ConfigureAwait(false);
                }
                else if (repair is not null)
                {
                    await QueueAsync(db, repair, cancellationToken).ConfigureAwait(false);
                }

                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return isNews;
            },
            cancellationToken);

    /// <summary>Queues repairs of marked blobs for which there was no place when they were found, oldest first.</summary>
    /// <param name="storeId">The store.</param>
    /// <param name="order">Describes the job that repairs a blob, with a unique key. A blob of which there was such a job
    /// within the time that ended jobs are kept is left alone.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>Number of repairs queued.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// </exception>
    public Task<int> QueueRepairsAsync(
        string storeId, Func<ImageLocation, JobOrder> order, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var marked = db.Locations.AsNoTracking().Where(l => l.StoreId == storeId && l.DamagedAt != null
                    && db.Locations.Any(other => other.ImageId == l.ImageId && other.DamagedAt == null));
                if (await marked.OrderBy(l => l.DamagedAt).FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false)
                    is not { } any)
                {
                    return 0;
                }

                var kind = order(any).Kind;
                var room = RepairsMax - await CountAsync(db, kind, cancellationToken).ConfigureAwait(false);
                if (room <= 0)
                {
                    return 0;
                }

                var waiting = await marked
                    .Where(l => !db.Jobs.Any(j => j.Kind == kind && j.ImageId == l.ImageId))
                    .OrderBy(l => l.DamagedAt).Take(room).ToListAsync(cancellationToken).ConfigureAwait(false);
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                db.Jobs.AddRange(waiting.Select(location => new Job(order(location), now)));
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return waiting.Count;
            },
            cancellationToken);

    /// <summary>Removes the mark of a blob that was found whole.</summary>
    /// <param name="key">The blob. A later one of the image in the same store is left alone.</param>
    /// <param name="storeId">The store that the blob is in.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>True when the blob was marked.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// </exception>
    public Task<bool> ClearAsync(BlobKey key, string storeId, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases, (db, _) => SetAsync(db, key, storeId, since: null, cancellationToken), cancellationToken);

    private static async Task<bool> SetAsync(
        RegistryDb db, BlobKey key, string storeId, DateTimeOffset? since, CancellationToken cancellationToken)
    {
        var isDamaged = since is not null;
        return await db.Locations
            .Where(l => l.ImageId == key.ImageId && l.Generation == key.Generation
                && l.StoreId == storeId && (l.DamagedAt != null) != isDamaged)
            .ExecuteUpdateAsync(set => set.SetProperty(l => l.DamagedAt, since), cancellationToken)
            .ConfigureAwait(false) == 1;
    }

    private async Task QueueAsync(RegistryDb db, JobOrder repair, CancellationToken cancellationToken)
    {
        if (await CountAsync(db, repair.Kind, cancellationToken).ConfigureAwait(false) < RepairsMax
            && !await db.Jobs.AnyAsync(j => j.UniqueKey == repair.UniqueKey && j.EndedAt == null, cancellationToken)
                .ConfigureAwait(false))
        {
            db.Jobs.Add(new Job(
                repair, await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false)));
        }
    }

    private static Task<int> CountAsync(RegistryDb db, string kind, CancellationToken cancellationToken) =>
        db.Jobs.CountAsync(j => j.EndedAt == null && j.Kind == kind, cancellationToken);

    private async Task RaiseAsync(
        RegistryDb db, List<ImageLocation> locations, bool isNews, CancellationToken cancellationToken)
    {
        if (!isNews || events?.Wants(Damaged) != true)
        {
            return;
        }

        var image = await db.Images.AsNoTracking().SingleAsync(i => i.Id == locations[0].ImageId, cancellationToken)
            .ConfigureAwait(false);
        db.Events.Add(OutboxEvent.Create(
            Damaged, image.Id, EventData.OfDamage(image, locations), time.GetUtcNow()));
    }
}
