using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Keeps the promises of copies between stores: while one is under way its blob is not garbage, and it becomes
/// a location of the image only if the image still has those bytes. A repair is a copy that replaces a damaged
/// location.</summary>
/// <remarks>The intent is of the same kind as an upload's, and is renewed and abandoned through
/// <see cref="UploadLedger"/>; the image's status is left alone.</remarks>
public sealed class CopyLedger(IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time)
{
    /// <summary>Reason of the refusal while another job copies the same image to the same store.</summary>
    public const string CopyUnderWay = "copy_under_way";

    /// <summary>Starts an attempt at a copy, under a generation of its own. An earlier attempt of the same job, or one
    /// whose lease has run out, is fenced off.</summary>
    /// <param name="location">The bytes to copy.</param>
    /// <param name="storeId">The store to copy to.</param>
    /// <param name="owner">The job: the same in each of its attempts, and unique among all others.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <returns>Null when the image has its bytes in that store already.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Gone"/>: the image no longer has these bytes.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: its project has no room for a copy.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: the project's limits cannot be read.
    /// -or- <see cref="ErrorCode.Conflict"/>: another job is copying them there.
    /// -or- <see cref="ErrorCode.Fenced"/>: the attempt no longer has its job.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public async Task<UploadIntent?> BeginAsync(
        ImageLocation location, string storeId, IntentOwner owner, TimeSpan lease, CancellationToken cancellationToken)
    {
        var limits = await quota.AskAsync(databases, location.ImageId, cancellationToken).ConfigureAwait(false);
        return await StartAsync(
            new Attempt(location.ImageId, storeId, owner, lease, ReservedBytes: location.DataLength),
            image => HasBytes(image, location)
                ? image!.Locations.All(l => l.StoreId != storeId)
                : throw Gone(location),
            (db, image) => quota.RequireRoomAsync(
                db, limits, image.Owner, new ProjectNeed(StoredBytes: location.DataLength, Uploading: 0),
                cancellationToken),
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Starts an attempt at a repair: a copy that replaces a damaged location in the same store. Needs no room
    /// of the project's quota, which counts the bytes that it replaces.</summary>
    /// <param name="damaged">The location as it was found damaged.</param>
    /// <param name="owner">The job: the same in each of its attempts, and unique among all others.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <returns>Null when there is nothing to repair: the location is no longer marked as damaged, was replaced or
    /// removed, or the image was deleted.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Conflict"/>: another job is copying the image there.
    /// -or- <see cref="ErrorCode.Fenced"/>: the attempt no longer has its job.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public Task<UploadIntent?> BeginRepairAsync(
        ImageLocation damaged, IntentOwner owner, TimeSpan lease, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(damaged);
        return StartAsync(
            new Attempt(damaged.ImageId, damaged.StoreId, owner, lease, ReservedBytes: 0),
            image => image is not null && image.Locations.Any(l => IsStillDamaged(l, damaged)),
            (_, _) => Task.CompletedTask,
            cancellationToken);
    }

    /// <summary>Completes a copy whose blob is committed in its store.</summary>
    /// <param name="intent">From <see cref="BeginAsync"/>.</param>
    /// <param name="location">The bytes that were copied.</param>
    /// <param name="cancellationToken">Cancels the work; not any more once the commit has begun.</param>
    /// <returns>Whether this attempt's blob is a location of the image now. When it was fenced, the blob is garbage.
    /// A repeated call answers the same.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown. Remove the
    /// blob through <see cref="BlobRemoval"/> only, which looks whether it has become a location.</exception>
    public Task<CommitOutcome> CommitAsync(
        UploadIntent intent, ImageLocation location, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, location.ImageId, cancellationToken).ConfigureAwait(false);
                if (image is not null && image.Locations.Any(l => l.Key == intent.Key && l.StoreId == intent.StoreId))
                {
                    return CommitOutcome.Committed; // an attempt before went through, only its answer was lost
                }

                var dropped = await db.UploadIntents.Where(i => i.Id == intent.Id)
                    .ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
                if (dropped != 1 || !HasBytes(image, location)
                    || image!.Locations.Any(l => l.StoreId == intent.StoreId))
                {
                    return CommitOutcome.Fenced;
                }

                image.AddLocation(location.CopyAs(intent.Key, intent.StoreId, time.GetUtcNow()));
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return CommitOutcome.Committed;
            },
            cancellationToken);

    /// <summary>Completes a repair whose blob is committed in its store: the location names that blob from then on, and
    /// is no longer marked as damaged. The blob that it named before is garbage.</summary>
    /// <param name="intent">From <see cref="BeginRepairAsync"/>.</param>
    /// <param name="damaged">The location as it was found damaged.</param>
    /// <param name="cancellationToken">Cancels the work; no longer once the commit has begun.</param>
    /// <returns>Whether this attempt's blob is a location of the image now. When it was fenced, or the location was
    /// found whole, replaced or removed meanwhile, the attempt's blob is garbage. A repeated call answers the same.
    /// </returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown. Remove
    /// either blob through <see cref="BlobRemoval"/> only, which looks whether a location names it.</exception>
    public Task<CommitOutcome> CommitRepairAsync(
        UploadIntent intent, ImageLocation damaged, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, damaged.ImageId, cancellationToken).ConfigureAwait(false);
                if (image is not null && image.Locations.Any(l => l.Key == intent.Key && l.StoreId == intent.StoreId))
                {
                    return CommitOutcome.Committed; // an attempt before went through, only its answer was lost
                }

                var dropped = await db.UploadIntents.Where(i => i.Id == intent.Id)
                    .ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
                if (dropped != 1 || image is null || !image.Locations.Any(l => IsStillDamaged(l, damaged)))
                {
                    return CommitOutcome.Fenced;
                }

                // The statement repeats the conditions: a mark is cleared without the image's lock.
                DateTimeOffset? whole = null;
                var replaced = await db.Locations
                    .Where(l => l.ImageId == damaged.ImageId && l.StoreId == damaged.StoreId
                        && l.Generation == damaged.Generation && l.DamagedAt != null)
                    .ExecuteUpdateAsync(
                        set => set.SetProperty(l => l.Generation, intent.Generation)
                            .SetProperty(l => l.DamagedAt, whole),
                        cancellationToken).ConfigureAwait(false);
                return replaced == 1 ? CommitOutcome.Committed : CommitOutcome.Fenced;
            },
            cancellationToken);

    private Task<UploadIntent?> StartAsync(
        Attempt begun,
        Func<Image?, bool> isWanted,
        Func<RegistryDb, Image, Task> requireRoom,
        CancellationToken cancellationToken)
    {
        var copyId = Guid.CreateVersion7(time.GetUtcNow());
        return WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                var image = await LoadLockedAsync(db, begun.ImageId, cancellationToken).ConfigureAwait(false);
                if (attempt > 1 && await db.UploadIntents.FindAsync([copyId], cancellationToken)
                        .ConfigureAwait(false) is { } mine)
                {
                    return mine; // the attempt before went through, only its answer was lost
                }

                if (!isWanted(image))
                {
                    return null;
                }

                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                await begun.Owner.RequireHeldAsync(db, now, cancellationToken).ConfigureAwait(false);
                await FenceOthersAsync(db, begun.ImageId, begun.StoreId, begun.Owner.Name, now, cancellationToken)
                    .ConfigureAwait(false);
                await requireRoom(db, image!).ConfigureAwait(false);
                var intent = new UploadIntent(
                    copyId, begun.ImageId, image!.ReserveGeneration(), begun.StoreId, begun.Owner.Name,
                    Timestamps.Stored(now + begun.Lease), begun.ReservedBytes);
                db.UploadIntents.Add(intent);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return intent;
            },
            cancellationToken);
    }

    private static async Task FenceOthersAsync(
        RegistryDb db, string imageId, string storeId, string owner, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var others = db.UploadIntents.Where(i => i.ImageId == imageId && i.StoreId == storeId);
        if (await others.AnyAsync(i => i.Owner != owner && i.ExpiresAt >= now, cancellationToken).ConfigureAwait(false))
        {
            throw new RegistryException(
                ErrorCode.Conflict, "The image is being copied to that store already.", CopyUnderWay);
        }

        await others.ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task<Image?> LoadLockedAsync(
        RegistryDb db, string imageId, CancellationToken cancellationToken)
    {
        await DatabaseDialect.LockAsync(db, imageId, cancellationToken).ConfigureAwait(false);
        return await db.Images.AsTracking().Include(i => i.Locations)
            .SingleOrDefaultAsync(i => i.Id == imageId, cancellationToken).ConfigureAwait(false);
    }

    private static bool HasBytes(Image? image, ImageLocation location) =>
        image is not null && image.Locations.Any(l => l.IndexDigest.AsSpan().SequenceEqual(location.IndexDigest));

    private static bool IsStillDamaged(ImageLocation location, ImageLocation damaged) =>
        location.StoreId == damaged.StoreId && location.Generation == damaged.Generation
        && location.DamagedAt is not null;

    private static RegistryException Gone(ImageLocation location) =>
        new(ErrorCode.Gone, $"Image {location.ImageId} no longer has these bytes.");

    private sealed record Attempt(
        string ImageId, string StoreId, IntentOwner Owner, TimeSpan Lease, long ReservedBytes);
}
