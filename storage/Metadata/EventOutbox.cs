using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>A download that has ended.</summary>
/// <param name="ImageId">The image.</param>
/// <param name="Owner">Its owner.</param>
/// <param name="ProjectId">The project of whoever received it.</param>
/// <param name="UserId">The user.</param>
/// <param name="Destination">The address that it went to.</param>
/// <param name="Bytes">Bytes sent.</param>
/// <param name="Expected">Bytes that were asked for.</param>
public sealed record ImageSent(
    string ImageId, string? Owner, string? ProjectId, string? UserId, string? Destination, long Bytes, long Expected)
{
    /// <summary>The event of a download that got all it asked for.</summary>
    public const string Whole = "image.send";

    /// <summary>The event of one that did not.</summary>
    public const string Broken = "image.send.error";

    /// <summary>What it is as an event.</summary>
    public string Type => Bytes == Expected ? Whole : Broken;
}

/// <summary>What happened and has not been told yet.</summary>
/// <remarks>Events of one image are told in their order: one that is told in vain keeps those after it waiting, and
/// nobody else's.</remarks>
public sealed class EventOutbox(IDbContextFactory<RegistryDb> databases, TimeProvider time)
{
    /// <summary>Notes that an image's bytes were sent, or not all of them.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown.</exception>
    public Task AddAsync(ImageSent sent, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(sent);
        var happened = OutboxEvent.Create(sent.Type, sent.ImageId, EventData.OfSend(sent), time.GetUtcNow());
        return WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                if (attempt > 1 && await db.Events.AnyAsync(e => e.Id == happened.Id, cancellationToken)
                        .ConfigureAwait(false))
                {
                    return 0; // the attempt before went through, only its answer was lost
                }

                db.Events.Add(happened);
                return await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
            },
            cancellationToken);
    }

    /// <summary>Finds what can be told now: of each image its oldest event, if that is due.</summary>
    /// <param name="limit">Most of them.</param>
    /// <param name="cancellationToken">Cancels the look-up.</param>
    public async Task<IReadOnlyList<OutboxEvent>> FindDueAsync(int limit, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        var now = Timestamps.Stored(await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false));
        return await db.Events.AsNoTracking()
            .Where(e => (e.Failures == 0 || e.DueAt <= now) && !db.Events.Any(o => o.Subject == e.Subject && o.Number < e.Number))
            .OrderBy(e => e.Number).Take(limit)
            .ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Forgets an event that has been told. Doing it twice is no error.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown; it may be told
    /// again.</exception>
    public Task<int> RemoveAsync(OutboxEvent told, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            (db, _) => db.Events.Where(e => e.Number == told.Number).ExecuteDeleteAsync(cancellationToken),
            cancellationToken);

    /// <summary>Puts off an event that was told in vain.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown; it may be told sooner.
    /// </exception>
    public Task<int> PostponeAsync(OutboxEvent told, TimeSpan delay, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var due = Timestamps.Stored(now + delay);
                return await db.Events.Where(e => e.Number == told.Number && e.Failures == told.Failures)
                    .ExecuteUpdateAsync(
                        set => set.SetProperty(e => e.DueAt, due).SetProperty(e => e.Failures, e => e.Failures + 1),
                        cancellationToken).ConfigureAwait(false);
            },
            cancellationToken);

    /// <summary>Forgets what nobody took: what is too old, and the oldest of what is too much.</summary>
    /// <param name="age">Older events go.</param>
    /// <param name="most">More than so many are not kept.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>How many went untold.</returns>
    public Task<int> DropAsync(TimeSpan age, int most, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var oldest = Timestamps.Stored(now - age);
                var dropped = await db.Events.Where(e => e.CreatedAt < oldest).ExecuteDeleteAsync(cancellationToken)
                    .ConfigureAwait(false);
                var last = await db.Events.OrderByDescending(e => e.Number).Select(e => (long?)e.Number)
                    .Skip(most).FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false);
                return last is null
                    ? dropped
                    : dropped + await db.Events.Where(e => e.Number <= last).ExecuteDeleteAsync(cancellationToken)
                        .ConfigureAwait(false);
            },
            cancellationToken);
}
