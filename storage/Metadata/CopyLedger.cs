using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Keeps the promises of copies between stores: while one is under way its blob is not garbage, and it becomes
/// a location of the image only if the image still has those bytes.</summary>
/// <remarks>The intent is of the same kind as an upload's, and is renewed and abandoned through
/// <see cref="UploadLedger"/>; the image's status is left alone.</remarks>
public sealed class CopyLedger(IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time)
{
    /// <summary>Starts a copy. A copy to the same store of an earlier attempt, or of one that is gone, is taken
    /// over.</summary>
    /// <param name="location">The bytes to copy.</param>
    /// <param name="storeId">The store to copy to.</param>
    /// <param name="owner">The job: the same in each of its attempts, and unique among all others.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <returns>Null when the image has its bytes in that store already.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Gone"/>: the image has these bytes no more.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: its project has no room for a copy.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell what its project may have.
    /// -or- <see cref="ErrorCode.Conflict"/>: another job is copying them there.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public async Task<UploadIntent?> BeginAsync(
        ImageLocation location, string storeId, string owner, TimeSpan lease, CancellationToken cancellationToken)
    {
        var copyId = Guid.CreateVersion7(time.GetUtcNow());
        var limits = await quota.AskAsync(databases, location.ImageId, cancellationToken).ConfigureAwait(false);
        return await WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var image = await LoadLockedAsync(db, location, cancellationToken).ConfigureAwait(false);
                if (!HasBytes(image, location))
                {
                    throw Gone(location);
                }

                if (image!.Locations.Any(l => l.StoreId == storeId))
                {
                    return null;
                }

                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var other = await db.UploadIntents.AsNoTracking().SingleOrDefaultAsync(
                    i => i.ImageId == location.ImageId && i.Generation == location.Generation && i.StoreId == storeId,
                    cancellationToken).ConfigureAwait(false);
                if (other is not null && other.Id != copyId && other.Owner != owner && other.ExpiresAt >= now)
                {
                    throw new RegistryException(
                        ErrorCode.Conflict, "The image is being copied to that store already.", "copy_under_way");
                }

                if (other is not null)
                {
                    await db.UploadIntents.Where(i => i.Id == other.Id).ExecuteDeleteAsync(cancellationToken)
                        .ConfigureAwait(false);
                }

                await quota.RequireRoomAsync(
                    db, limits, image.Owner, new ProjectNeed(StoredBytes: location.DataLength, Uploading: 0),
                    cancellationToken).ConfigureAwait(false);
                var intent = new UploadIntent(
                    copyId, location.ImageId, location.Generation, storeId, owner, Timestamps.Stored(now + lease),
                    location.DataLength);
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
    /// <returns>Whether the image has the copy now. When it was fenced, the copy is garbage: remove it.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Fenced"/>: somebody else has taken the copy over, and what
    /// is in the store may be theirs. -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown. Leave the
    /// copy alone either way; if nothing refers to it, the reaper removes it.</exception>
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
                if (dropped != 1 && await db.UploadIntents.AnyAsync(
                        i => i.ImageId == intent.ImageId && i.Generation == intent.Generation && i.StoreId == intent.StoreId,
                        cancellationToken).ConfigureAwait(false))
                {
                    throw new RegistryException(ErrorCode.Fenced, "Another attempt has taken the copy over.");
                }

                if (dropped != 1 || !HasBytes(image, location))
                {
                    return CommitOutcome.Fenced;
                }

                image!.AddLocation(new ImageLocation(
                    intent.Key, intent.StoreId, location.DataLength, location.IndexLength, location.IndexDigest,
                    time.GetUtcNow()));
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return CommitOutcome.Committed;
            },
            cancellationToken);

    private static async Task<Image?> LoadLockedAsync(
        RegistryDb db, ImageLocation location, CancellationToken cancellationToken)
    {
        await DatabaseDialect.LockAsync(db, location.ImageId, cancellationToken).ConfigureAwait(false);
        return await db.Images.AsTracking().Include(i => i.Locations)
            .SingleOrDefaultAsync(i => i.Id == location.ImageId, cancellationToken).ConfigureAwait(false);
    }

    private static bool HasBytes(Image? image, ImageLocation location) =>
        image is not null && image.Locations.Any(l =>
            l.Generation == location.Generation && l.IndexDigest.AsSpan().SequenceEqual(location.IndexDigest));

    private static RegistryException Gone(ImageLocation location) =>
        new(ErrorCode.Gone, $"Image {location.ImageId} has these bytes no more.");
}
