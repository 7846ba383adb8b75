using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>How the commit of staged bytes ended.</summary>
/// <param name="Outcome">Whether they are the image's staged bytes now; if not, their blob is garbage: remove
/// it.</param>
/// <param name="Replaced">The bytes that were staged before, garbage from now on; null for none.</param>
public readonly record struct StagingOutcome(CommitOutcome Outcome, StagedBlob? Replaced);

/// <summary>Keeps the promises of bytes that are staged for an import, by a client before it or by its job.</summary>
/// <remarks>The intents are of the same kind as an upload's, and are renewed and abandoned through
/// <see cref="UploadLedger"/>. A client's upload turns the image to uploading; a job leaves the status alone, and a new
/// intent of a job fences off whatever a job before it left under way.</remarks>
public sealed class StagingLedger(IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time)
{
    /// <summary>Starts to write bytes.</summary>
    /// <param name="imageId">The image: queued, or importing for a job.</param>
    /// <param name="isJob">Whether the image's import asks, and not a client.</param>
    /// <param name="storeId">The store that the blob goes to.</param>
    /// <param name="owner">This process, unique among all that ever ran, with the attempt at its job.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="expectedBytes">Length as stated; null when unknown. So much room is promised.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is no such image.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: its project has no room for so much.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell what its project may have.
    /// -or- <see cref="ErrorCode.InvalidStatusTransition"/>: it is not queued.
    /// -or- <see cref="ErrorCode.Fenced"/>: it is no longer importing, or the attempt no longer has its job.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public async Task<UploadIntent> BeginAsync(
        string imageId,
        bool isJob,
        string storeId,
        IntentOwner owner,
        TimeSpan lease,
        long? expectedBytes,
        CancellationToken cancellationToken)
    {
        var id = Guid.CreateVersion7(time.GetUtcNow());
        var limits = await quota.AskAsync(databases, imageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                await DatabaseDialect.LockAsync(db, imageId, cancellationToken).ConfigureAwait(false);
                if (attempt > 1 && await db.UploadIntents.FindAsync([id], cancellationToken)
                        .ConfigureAwait(false) is { } mine)
                {
                    return mine; // the attempt before went through, only its answer was lost
                }

                var image = await ImageQueries.FindAsync(
                    db, imageId, Viewer.System, tracking: true, cancellationToken).ConfigureAwait(false)
                    ?? throw new RegistryException(ErrorCode.NotFound, $"No image found with ID {imageId}");
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                await owner.RequireHeldAsync(db, now, cancellationToken).ConfigureAwait(false);
                if (isJob)
                {
                    image.BeginImportedBytes();
                    await db.UploadIntents.Where(i => i.ImageId == imageId).ExecuteDeleteAsync(cancellationToken)
                        .ConfigureAwait(false);
                }
                else
                {
                    image.BeginStaging(time.GetUtcNow());
                }

                var reserved = expectedBytes ?? 0;
                var isNext = isJob && await db.StagedBlobs.AnyAsync(s => s.ImageId == imageId, cancellationToken)
                    .ConfigureAwait(false);
                var need = new ProjectNeed(
                    StagedBytes: reserved, Uploading: (isJob, isNext) switch
                    {
                        (false, _) => 1,
                        (true, false) => 0, // it is one already
                        (true, true) => null,
                    },
                    Replaces: imageId);
                await quota.RequireRoomAsync(db, limits, image.Owner, need, cancellationToken).ConfigureAwait(false);
                var intent = new UploadIntent(
                    id, imageId, image.Generation, storeId, owner.Name, Timestamps.Stored(now + lease), reserved);
                db.UploadIntents.Add(intent);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return intent;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes a blob that is committed in its store the image's staged bytes, in place of those before.</summary>
    /// <param name="intent">From <see cref="BeginAsync"/>.</param>
    /// <param name="staged">What is known of the bytes.</param>
    /// <param name="cancellationToken">Cancels the work; not any more once the commit has begun.</param>
    /// <returns>Whether it went through. A repeated call answers the same.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown. Leave the
    /// blob alone; if nothing refers to it, the reaper removes it.</exception>
    public Task<StagingOutcome> CommitAsync(
        UploadIntent intent, StagedBlob staged, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                await DatabaseDialect.LockAsync(db, intent.ImageId, cancellationToken).ConfigureAwait(false);
                var image = await db.Images.AsTracking()
                    .SingleOrDefaultAsync(i => i.Id == intent.ImageId, cancellationToken).ConfigureAwait(false);
                var before = await FindAsync(db, intent.ImageId, cancellationToken).ConfigureAwait(false);
                if (before?.Key == staged.Key || await IsLocationAsync(db, staged, cancellationToken).ConfigureAwait(false))
                {
                    // Only the answer was lost; another worker may have completed the import with these bytes since.
                    return new StagingOutcome(CommitOutcome.Committed, null);
                }

                var dropped = await db.UploadIntents.Where(i => i.Id == intent.Id)
                    .ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
                if (dropped != 1
                    || image is not { Status: ImageStatus.Uploading or ImageStatus.Importing }
                    || image.Generation != intent.Generation)
                {
                    return new StagingOutcome(CommitOutcome.Fenced, null);
                }

                await db.StagedBlobs.Where(s => s.ImageId == intent.ImageId).ExecuteDeleteAsync(cancellationToken)
                    .ConfigureAwait(false);
                db.StagedBlobs.Add(staged);
                image.RecordStaged(staged.DataLength, time.GetUtcNow());
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return new StagingOutcome(CommitOutcome.Committed, before);
            },
            cancellationToken);

    /// <summary>An image's staged bytes; null when there are none, or not all of them yet.</summary>
    public async Task<StagedBlob?> FindAsync(string imageId, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return await FindAsync(db, imageId, cancellationToken).ConfigureAwait(false);
    }

    private static Task<bool> IsLocationAsync(RegistryDb db, StagedBlob staged, CancellationToken cancellationToken) =>
        db.Locations.AnyAsync(
            l => l.ImageId == staged.ImageId && l.StoreId == staged.StoreId && l.Generation == staged.Generation,
            cancellationToken);

    internal static Task<StagedBlob?> FindAsync(RegistryDb db, string imageId, CancellationToken cancellationToken) =>
        db.StagedBlobs.AsNoTracking().SingleOrDefaultAsync(s => s.ImageId == imageId, cancellationToken);
}
