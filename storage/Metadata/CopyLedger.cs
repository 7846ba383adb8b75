using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Keeps the promises of copies between stores: while one is under way its blob is not garbage, and it becomes
/// a location of the image only if the image still has those bytes.</summary>
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
        var copyId = Guid.CreateVersion7(time.GetUtcNow());
        var limits = await quota.AskAsync(databases, location.ImageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                var image = await LoadLockedAsync(db, location, cancellationToken).ConfigureAwait(false);
                if (attempt > 1 && await db.UploadIntents.FindAsync([copyId], cancellationToken)
                        .ConfigureAwait(false) is { } mine)
                {
                    return mine; // the attempt before went through, only its answer was lost
                }

                if (!HasBytes(image, location))
                {
                    throw Gone(location);
                }

                if (image!.Locations.Any(l => l.StoreId == storeId))
                {
                    return null;
                }

                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                await owner.RequireHeldAsync(db, now, cancellationToken).ConfigureAwait(false);
                await FenceOthersAsync(db, location.ImageId, storeId, owner.Name, now, cancellationToken)
                    .ConfigureAwait(false);
                await quota.RequireRoomAsync(
                    db, limits, image.Owner, new ProjectNeed(StoredBytes: location.DataLength, Uploading: 0),
                    cancellationToken).ConfigureAwait(false);
                var intent = new UploadIntent(
                    copyId, location.ImageId, image.ReserveGeneration(), storeId, owner.Name,
                    Timestamps.Stored(now + lease), location.DataLength);
                db.UploadIntents.Add(intent);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return intent;
            },
            cancellationToken).ConfigureAwait(false);
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
                var image = await LoadLockedAsync(db, location, cancellationToken).ConfigureAwait(false);
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
        RegistryDb db, ImageLocation location, CancellationToken cancellationToken)
    {
        await DatabaseDialect.LockAsync(db, location.ImageId, cancellationToken).ConfigureAwait(false);
        return await db.Images.AsTracking().Include(i => i.Locations)
            .SingleOrDefaultAsync(i => i.Id == location.ImageId, cancellationToken).ConfigureAwait(false);
    }

    private static bool HasBytes(Image? image, ImageLocation location) =>
        image is not null && image.Locations.Any(l => l.IndexDigest.AsSpan().SequenceEqual(location.IndexDigest));

    private static RegistryException Gone(ImageLocation location) =>
        new(ErrorCode.Gone, $"Image {location.ImageId} no longer has these bytes.");
}
