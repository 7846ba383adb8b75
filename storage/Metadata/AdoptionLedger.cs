using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Keeps the promises of adoptions: images that come with their bytes from another registry, and are not there
/// before the bytes are.</summary>
/// <remarks>The intent is of the same kind as an upload's, and is renewed and abandoned through
/// <see cref="UploadLedger"/>; only there is no image yet that could be saving. Two who adopt one image write under
/// different generations, and the first to commit has it. An adoption that was killed is in nobody's way.</remarks>
public sealed class AdoptionLedger(IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time)
{
    /// <summary>Starts an adoption.</summary>
    /// <param name="imageId">The image, a canonical UUID.</param>
    /// <param name="projectId">Who will own it; null is nobody's.</param>
    /// <param name="storeId">The store that the blob goes to.</param>
    /// <param name="owner">This process, unique among all that ever ran.</param>
    /// <param name="lease">How long the promise stands without renewal.</param>
    /// <param name="bytes">Length of the blob.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    /// <returns>Null when the id is or was an image's.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.QuotaExceeded"/>: its project has no room for so much.
    /// -or- <see cref="ErrorCode.Conflict"/>: somebody began at the same instant.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; the lease will run out.</exception>
    public Task<UploadIntent?> BeginAsync(
        string imageId,
        string? projectId,
        string storeId,
        string owner,
        TimeSpan lease,
        long bytes,
        CancellationToken cancellationToken)
    {
        var adoptionId = Guid.CreateVersion7(time.GetUtcNow());
        return WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                if (attempt > 1 && await db.UploadIntents.FindAsync([adoptionId], cancellationToken)
                        .ConfigureAwait(false) is { } mine)
                {
                    return mine; // the attempt before went through, only its answer was lost
                }

                if (await db.Images.AnyAsync(i => i.Id == imageId, cancellationToken).ConfigureAwait(false)
                    || await DatabasePurge.HadAsync(db, imageId, cancellationToken).ConfigureAwait(false))
                {
                    return null;
                }

                await quota.FindRoomAsync(db, projectId, bytes, bytes, cancellationToken).ConfigureAwait(false);
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var intent = new UploadIntent(
                    adoptionId, imageId, await NextGenerationAsync(db, imageId, now, cancellationToken)
                        .ConfigureAwait(false), storeId, owner, Timestamps.Stored(now + lease), bytes);
                db.UploadIntents.Add(intent);
                try
                {
                    await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                }
                catch (DbUpdateException exception) when (DatabaseDialect.IsUniqueViolation(exception))
                {
                    throw new RegistryException(
                        ErrorCode.Conflict, $"Image {imageId} is being adopted by somebody else.", "adoption_under_way",
                        exception);
                }

                return intent;
            },
            cancellationToken);
    }

    /// <summary>Completes an adoption whose blob is committed in its store: the image is there, with its bytes, in one
    /// transaction.</summary>
    /// <param name="intent">From <see cref="BeginAsync"/>.</param>
    /// <param name="make">Makes the image as it is to be, active or deactivated, without a location; may run
    /// again.</param>
    /// <param name="root">What verifies the blob.</param>
    /// <param name="cancellationToken">Cancels the work; not any more once the commit has begun.</param>
    /// <returns>Whether the image has these bytes now. When it was fenced, the blob is garbage: remove it.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DuplicateId"/>: somebody registered the id meanwhile;
    /// abandon.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: somebody took the room meanwhile; abandon.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown. Leave the blob alone; if nothing refers
    /// to it, the reaper removes it.</exception>
    public Task<CommitOutcome> CommitAsync(
        UploadIntent intent, Func<Image> make, BlobIndexSummary root, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                if (attempt > 1 && await db.Locations.AnyAsync(
                        l => l.ImageId == intent.ImageId && l.StoreId == intent.StoreId
                            && l.Generation == intent.Generation,
                        cancellationToken).ConfigureAwait(false))
                {
                    return CommitOutcome.Committed; // the attempt before went through, only its answer was lost
                }

                var dropped = await db.UploadIntents.Where(i => i.Id == intent.Id)
                    .ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
                if (dropped != 1)
                {
                    return CommitOutcome.Fenced;
                }

                var image = make();
                var size = image.Size!.Value;
                await quota.FindRoomAsync(db, image.Owner, size, size, cancellationToken).ConfigureAwait(false);
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var next = await NextGenerationAsync(db, intent.ImageId, now, cancellationToken).ConfigureAwait(false);
                image.Adopt(
                    new ImageLocation(
                        intent.Key, intent.StoreId, size, root.IndexLength, root.IndexDigest.Span, time.GetUtcNow()),
                    lastGeneration: Math.Max(next, intent.Generation));
                db.Images.Add(image);
                try
                {
                    await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                }
                catch (DbUpdateException exception) when (DatabaseDialect.IsUniqueViolation(exception))
                {
                    throw new RegistryException(
                        ErrorCode.DuplicateId, $"Image ID {image.Id} already exists!", inner: exception);
                }

                return CommitOutcome.Committed;
            },
            cancellationToken);

    // No image counts for us, and a generation must never come twice: the reaper may be about to remove what a killed
    // adoption left under it. Time never comes twice.
    private static async Task<long> NextGenerationAsync(
        RegistryDb db, string imageId, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var last = await db.UploadIntents.Where(i => i.ImageId == imageId)
            .MaxAsync(i => (long?)i.Generation, cancellationToken).ConfigureAwait(false) ?? 0;
        var microseconds = (now - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        return Math.Max(last + 1, microseconds);
    }
}
