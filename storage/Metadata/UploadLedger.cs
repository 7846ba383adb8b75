using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>How an upload's commit ended.</summary>
public enum CommitOutcome
{
    /// <summary>The image is active with these bytes.</summary>
    Committed,

    /// <summary>The upload had been given up or the image deleted: the blob is garbage, remove it.</summary>
    Fenced,
}

/// <summary>Keeps the promises of uploads, so that exactly one wins and none is left half done.</summary>
/// <remarks>
/// The protocol, spec/reliability.md section 3.2:
/// 1. <see cref="BeginAsync"/> writes the intent, with the room it needs of the project's quota, and turns the image to
/// saving, under a new generation.
/// 2. The uploader writes the blob of that generation and renews its lease meanwhile.
/// 3. <see cref="CommitAsync"/> turns the image active where status and generation still match, records where the blob
///    is and drops the intent, in one transaction. Otherwise the uploader was fenced.
/// 4. <see cref="AbandonAsync(UploadIntent, string, string, CancellationToken)"/> by the uploader, or
///    <see cref="ReclaimAsync(string?, CancellationToken)"/> by anybody once the lease has run out, turns the image back
///    to queued.
/// </remarks>
public sealed partial class UploadLedger(
    IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time, ILogger<UploadLedger> logger)
{
    /// <summary>Code of the failure left on an image whose uploader disappeared.</summary>
    public const string LeaseExpired = "lease_expired";

    /// <summary>Starts an upload, in one transaction.</summary>
    /// <param name="imageId">The image. That the caller may upload to it is the caller's to know.</param>
    /// <param name="storeId">The store that the blob goes to.</param>
    /// <param name="owner">This process, unique among all that ever ran, or an attempt at a job.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="expectedBytes">Length as stated; null when unknown. So much room is promised.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is no such image.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: its project has no room for so much.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell what its project may have.
    /// -or- <see cref="ErrorCode.InvalidStatusTransition"/>: it is not queued.
    /// -or- <see cref="ErrorCode.Fenced"/>: the attempt no longer has its job.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public async Task<UploadIntent> BeginAsync(
        string imageId,
        string storeId,
        IntentOwner owner,
        TimeSpan lease,
        long? expectedBytes,
        CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(expectedBytes ?? 0);
        var uploadId = Guid.CreateVersion7(time.GetUtcNow());
        var limits = await quota.AskAsync(databases, imageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                await DatabaseDialect.LockAsync(db, imageId, cancellationToken).ConfigureAwait(false);
                if (attempt > 1 && await db.UploadIntents.FindAsync([uploadId], cancellationToken)
                        .ConfigureAwait(false) is { } mine)
                {
                    return mine; // the attempt before went through, only its answer was lost
                }

                var image = await ImageQueries.FindAsync(
                    db, imageId, Viewer.System, tracking: true, cancellationToken).ConfigureAwait(false)
                    ?? throw new RegistryException(ErrorCode.NotFound, $"No image found with ID {imageId}");
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                await owner.RequireHeldAsync(db, now, cancellationToken).ConfigureAwait(false);
                image.BeginUpload(time.GetUtcNow());
                var reserved = expectedBytes ?? 0;
                await quota.RequireRoomAsync(
                    db, limits, image.Owner, new ProjectNeed(StoredBytes: reserved, Uploading: 1), cancellationToken)
                    .ConfigureAwait(false);
                var intent = new UploadIntent(
                    uploadId, imageId, image.Generation, storeId, owner.Name, Timestamps.Stored(now + lease), reserved);
                db.UploadIntents.Add(intent);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return intent;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Extends the promise from now on.</summary>
    /// <returns>False when it stands no more: stop uploading, the bytes are for nobody.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown; try again before the
    /// lease runs out.</exception>
    public Task<bool> RenewAsync(UploadIntent intent, TimeSpan lease, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var until = Timestamps.Stored(now + lease);
                var renewed = await db.UploadIntents.Where(i => i.Id == intent.Id)
                    .ExecuteUpdateAsync(set => set.SetProperty(i => i.ExpiresAt, until), cancellationToken)
                    .ConfigureAwait(false);
                return renewed == 1;
            },
            cancellationToken);

    /// <summary>Promises more room to an upload of unknown length.</summary>
    /// <param name="intent">From <see cref="BeginAsync"/>.</param>
    /// <param name="received">Bytes received so far, which need room.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>Room promised in all: as much as was received, and a step more where there is room.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.QuotaExceeded"/>: there is no room for what was
    /// received. -or- <see cref="ErrorCode.Fenced"/>: the upload stands no more.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public Task<long> ReserveAsync(UploadIntent intent, long received, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, intent, cancellationToken).ConfigureAwait(false);
                var has = await db.UploadIntents.Where(i => i.Id == intent.Id).Select(i => (long?)i.ReservedBytes)
                    .SingleOrDefaultAsync(cancellationToken).ConfigureAwait(false);
                if (image is null || has is not { } reserved)
                {
                    throw new RegistryException(ErrorCode.Fenced, "The upload was given up meanwhile.");
                }

                if (received <= reserved)
                {
                    return reserved; // an attempt before went through, only its answer was lost
                }

                var needed = received - reserved;
                reserved += await quota.FindRoomAsync(
                    db, image.Owner, needed, needed + quota.Step(received), cancellationToken).ConfigureAwait(false);
                await db.UploadIntents.Where(i => i.Id == intent.Id)
                    .ExecuteUpdateAsync(set => set.SetProperty(i => i.ReservedBytes, reserved), cancellationToken)
                    .ConfigureAwait(false);
                return reserved;
            },
            cancellationToken);

    /// <summary>Completes an upload whose blob is committed in its store, in one transaction.</summary>
    /// <param name="intent">From <see cref="BeginAsync"/>.</param>
    /// <param name="result">What is known of the bytes.</param>
    /// <param name="cancellationToken">Cancels the work; not any more once the commit has begun.</param>
    /// <returns>Whether this upload won. A repeated call answers the same.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.BadRequest"/>: a format was never said; abandon.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown. Leave the blob alone: it may be the
    /// image's only one, and if it is not, the reaper removes it.</exception>
    public Task<CommitOutcome> CommitAsync(
        UploadIntent intent, UploadResult result, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, intent, cancellationToken).ConfigureAwait(false);
                if (image is not null && image.Locations.Any(l => l.Key == intent.Key && l.StoreId == intent.StoreId))
                {
                    return CommitOutcome.Committed; // an attempt before went through, only its answer was lost
                }

                var dropped = await DropAsync(db, intent, cancellationToken).ConfigureAwait(false);
                if (image is null || !dropped || !IsUploading(image, intent))
                {
                    return CommitOutcome.Fenced;
                }

                var now = time.GetUtcNow();
                image.Activate(result, now);
                image.AddLocation(new ImageLocation(
                    intent.Key, intent.StoreId, result.Size, result.IndexLength, result.IndexDigest.Span, now));
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return CommitOutcome.Committed;
            },
            cancellationToken);

    /// <summary>Gives an upload up: the image is queued again, and says why. Doing it twice, or too late, is no error.
    /// </summary>
    /// <param name="intent">From <see cref="BeginAsync"/>.</param>
    /// <param name="code">A stable word, shown to the owner.</param>
    /// <param name="reason">A sentence, shown to the owner.</param>
    /// <param name="cancellationToken">Cancels the work. Pass none: the client that went away is often the
    /// reason.</param>
    /// <returns>True when this call gave it up; false when it stood no more.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown; the lease will run
    /// out.
    /// </exception>
    public Task<bool> AbandonAsync(
        UploadIntent intent, string code, string reason, CancellationToken cancellationToken) =>
        AbandonAsync(intent, code, reason, onlyIfExpired: false, cancellationToken);

    /// <summary>Gives up the uploads of processes that are gone.</summary>
    /// <param name="exceptOwner">Null: those whose lease has run out. Otherwise: all but this process's own, expired or
    /// not, for the start of a process that knows itself to be the only one.</param>
    /// <param name="cancellationToken">Cancels the work between uploads.</param>
    /// <returns>What was given up; their blobs are garbage.</returns>
    public async Task<IReadOnlyList<UploadIntent>> ReclaimAsync(
        string? exceptOwner, CancellationToken cancellationToken)
    {
        var candidates = await FindAbandonedAsync(exceptOwner, cancellationToken).ConfigureAwait(false);
        return await ReclaimAsync(candidates, onlyIfExpired: exceptOwner is null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives up what an owner uploads to an image, expired or not: for the next attempt at a job, whose worker
    /// before is gone, or has lost it.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="owner">The job.</param>
    /// <param name="cancellationToken">Cancels the work between uploads.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown; the lease will run
    /// out.</exception>
    public async Task ReclaimAsync(string imageId, string owner, CancellationToken cancellationToken)
    {
        List<UploadIntent> candidates;
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using (db.ConfigureAwait(false))
        {
            candidates = await db.UploadIntents.AsNoTracking().Where(i => i.ImageId == imageId && i.Owner == owner)
                .ToListAsync(cancellationToken).ConfigureAwait(false);
        }

        await ReclaimAsync(candidates, onlyIfExpired: false, cancellationToken).ConfigureAwait(false);
    }

    private async Task<List<UploadIntent>> ReclaimAsync(
        List<UploadIntent> candidates, bool onlyIfExpired, CancellationToken cancellationToken)
    {
        var reclaimed = new List<UploadIntent>();
        foreach (var intent in candidates)
        {
            if (await AbandonAsync(
                    intent,
                    LeaseExpired,
                    "The upload was interrupted: the server that received it went away.",
                    onlyIfExpired,
                    cancellationToken).ConfigureAwait(false))
            {
                Log.Reclaimed(logger, intent.ImageId, intent.Generation, intent.Owner);
                reclaimed.Add(intent);
            }
        }

        return reclaimed;
    }

    private async Task<List<UploadIntent>> FindAbandonedAsync(string? exceptOwner, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
        var intents = db.UploadIntents.AsNoTracking();
        intents = exceptOwner is null
            ? intents.Where(i => i.ExpiresAt < now)
            : intents.Where(i => i.Owner != exceptOwner);
        return await intents.OrderBy(i => i.ExpiresAt).ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    private Task<bool> AbandonAsync(
        UploadIntent intent, string code, string reason, bool onlyIfExpired, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, intent, cancellationToken).ConfigureAwait(false);
                if (onlyIfExpired && !await IsExpiredAsync(db, intent, cancellationToken).ConfigureAwait(false))
                {
                    return false; // renewed since it was listed
                }

                var dropped = await DropAsync(db, intent, cancellationToken).ConfigureAwait(false);
                if (image is not null && (IsUploading(image, intent) || (dropped && IsStaging(image, intent))))
                {
                    image.AbandonUpload(code, reason, time.GetUtcNow());
                    await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                }

                return dropped;
            },
            cancellationToken);

    private async Task<bool> IsExpiredAsync(RegistryDb db, UploadIntent intent, CancellationToken cancellationToken)
    {
        var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
        return await db.UploadIntents.AnyAsync(i => i.Id == intent.Id && i.ExpiresAt < now, cancellationToken)
            .ConfigureAwait(false);
    }

    private static async Task<Image?> LoadLockedAsync(
        RegistryDb db, UploadIntent intent, CancellationToken cancellationToken)
    {
        await DatabaseDialect.LockAsync(db, intent.ImageId, cancellationToken).ConfigureAwait(false);
        return await db.Images.AsTracking().Include(i => i.Locations)
            .SingleOrDefaultAsync(i => i.Id == intent.ImageId, cancellationToken).ConfigureAwait(false);
    }

    private static async Task<bool> DropAsync(
        RegistryDb db, UploadIntent intent, CancellationToken cancellationToken) =>
        await db.UploadIntents.Where(i => i.Id == intent.Id).ExecuteDeleteAsync(cancellationToken)
            .ConfigureAwait(false) == 1;

    private static bool IsUploading(Image image, UploadIntent intent) =>
        image.Status == ImageStatus.Saving && image.Generation == intent.Generation;

    // An image under import stays so: its job begins again. One that is being staged has no job yet.
    private static bool IsStaging(Image image, UploadIntent intent) =>
        image.Status == ImageStatus.Uploading && image.Generation == intent.Generation;

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "Gave up upload {Generation} of image {ImageId}: its process {Owner} is gone")]
        public static partial void Reclaimed(ILogger logger, string imageId, long generation, string owner);
    }
}
