using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Registers, changes and deletes images; concurrent changes follow one another, none is lost.</summary>
public sealed class ImageEditor(IDbContextFactory<RegistryDb> databases, StorageQuota quota, TimeProvider time)
{
    /// <summary>Registers a new image.</summary>
    /// <param name="image">From <see cref="Image.Create"/>, with whatever hangs on it.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DuplicateId"/>: the id is or was in use.
    /// -or- <see cref="ErrorCode.QuotaExceeded"/>: its project has as many as it may have.
    /// -or- <see cref="ErrorCode.IdentityUnavailable"/>: nobody can tell how many it may have.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public async Task CreateAsync(Image image, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        var limits = await quota.AskAsync(image.Owner, cancellationToken).ConfigureAwait(false);
        await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                if (attempt > 1 && await IsSameAsync(db, image, cancellationToken).ConfigureAwait(false))
                {
                    return true; // the attempt before went through, only its answer was lost
                }

                await quota.RequireWithinAsync(
                    db, limits, image.Owner, new ProjectNeed(Images: 1), cancellationToken).ConfigureAwait(false);

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

                // Asked now that nobody can purge one of this id any more.
                return await DatabasePurge.HadAsync(db, image.Id, cancellationToken).ConfigureAwait(false)
                    ? throw new RegistryException(ErrorCode.DuplicateId, $"Image ID {image.Id} already exists!")
                    : true;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Changes an image that the viewer sees, under its lock, and saves.</summary>
    /// <param name="id">The image.</param>
    /// <param name="viewer">Who asks. Whether it may change the image is for <paramref name="change"/> to
    /// decide.</param>
    /// <param name="change">Changes the image, members loaded; may run again on a fresh copy, so it must change nothing
    /// else. Its exceptions undo everything.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>The image as saved.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none that the viewer sees.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public async Task<Image> ChangeAsync(
        string id, Viewer viewer, Action<Image> change, CancellationToken cancellationToken)
    {
        long savedRevision = 0;
        DateTimeOffset savedAt = default;
        return await WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                await DatabaseDialect.LockAsync(db, id, cancellationToken).ConfigureAwait(false);
                var image = await FindAsync(db, id, viewer, cancellationToken).ConfigureAwait(false);
                if (savedRevision != 0 && image.Revision == savedRevision && image.UpdatedAt == savedAt)
                {
                    return image; // the attempt before went through, only its answer was lost
                }

                change(image);
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                (savedRevision, savedAt) = (image.Revision, image.UpdatedAt);
                return image;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Turns an image into a tombstone and ends its upload or import, in one transaction. Its blobs are garbage from
    /// then on.
    /// </summary>
    /// <param name="id">The image. That it may be deleted is the caller's to know.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>The blobs that the image had, for who wants them removed before the reaper comes.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.
    /// -or- <see cref="ErrorCode.Protected"/>: it is protected.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public async Task<IReadOnlyList<ImageLocation>> DeleteAsync(string id, CancellationToken cancellationToken)
    {
        IReadOnlyList<ImageLocation>? freed = null;
        DateTimeOffset? deletedAt = null;
        return await WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                await DatabaseDialect.LockAsync(db, id, cancellationToken).ConfigureAwait(false);
                if (attempt > 1 && freed is not null && await db.Images
                        .AnyAsync(i => i.Id == id && i.DeletedAt == deletedAt, cancellationToken).ConfigureAwait(false))
                {
                    return freed;
                }

                var image = await FindAsync(db, id, Viewer.System, cancellationToken).ConfigureAwait(false);
                freed = [.. image.Locations];
                if (await db.StagedBlobs.AsNoTracking().SingleOrDefaultAsync(s => s.ImageId == id, cancellationToken)
                        .ConfigureAwait(false) is { } staged)
                {
                    freed = [.. freed, staged.AsLocation(time.GetUtcNow())];
                }

                image.Delete(time.GetUtcNow());
                deletedAt = image.DeletedAt;
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                await db.StagedBlobs.Where(s => s.ImageId == id).ExecuteDeleteAsync(cancellationToken)
                    .ConfigureAwait(false);
                await db.UploadIntents.Where(i => i.ImageId == id).ExecuteDeleteAsync(cancellationToken)
                    .ConfigureAwait(false);
                return freed;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes an image that waits for its bytes; any other is left alone.</summary>
    /// <param name="id">The image. That it may be deleted is the caller's to know.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>Whether it is deleted now.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is none.
    /// -or- <see cref="ErrorCode.Protected"/>: it is protected.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public Task<bool> DeleteQueuedAsync(string id, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                await DatabaseDialect.LockAsync(db, id, cancellationToken).ConfigureAwait(false);
                var image = await FindAsync(db, id, Viewer.System, cancellationToken).ConfigureAwait(false);
                if (image.Status != ImageStatus.Queued)
                {
                    return false;
                }

                image.Delete(time.GetUtcNow());
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken);

    /// <summary>Forgets one of the places where an image's bytes are. The blob there is garbage from then on.</summary>
    /// <param name="id">The image. That it may lose a place is the caller's to know.</param>
    /// <param name="storeId">The store.</param>
    /// <param name="isWhole">Whether another location was found in its store, complete, a moment ago.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>The place, for who wants the blob removed before the reaper comes.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.NotFound"/>: there is no such image, or the store has not
    /// got it.
    /// -or- <see cref="ErrorCode.InvalidStatusTransition"/>: it is not active.
    /// -or- <see cref="ErrorCode.Forbidden"/>: the store is the last.
    /// -or- <see cref="ErrorCode.Conflict"/>: no other location is known to be whole.
    /// -or- <see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.</exception>
    public async Task<ImageLocation> RemoveLocationAsync(
        string id, string storeId, Func<ImageLocation, bool> isWhole, CancellationToken cancellationToken)
    {
        ImageLocation? removed = null;
        return await WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                await DatabaseDialect.LockAsync(db, id, cancellationToken).ConfigureAwait(false);
                var image = await FindAsync(db, id, Viewer.System, cancellationToken).ConfigureAwait(false);
                if (removed is not null && image.Locations.All(l => l.StoreId != storeId))
                {
                    return removed; // the attempt before went through, only its answer was lost
                }

                removed = image.RemoveLocation(storeId, isWhole, time.GetUtcNow());
                await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
                return removed;
            },
            cancellationToken).ConfigureAwait(false);
    }

    private static async Task<Image> FindAsync(
        RegistryDb db, string id, Viewer viewer, CancellationToken cancellationToken) =>
        await ImageQueries.FindAsync(db, id, viewer, tracking: true, withMembers: true, cancellationToken)
            .ConfigureAwait(false)
        ?? throw new RegistryException(ErrorCode.NotFound, $"No image found with ID {id}");

    private static Task<bool> IsSameAsync(RegistryDb db, Image image, CancellationToken cancellationToken) =>
        db.Images.AnyAsync(
            i => i.Id == image.Id && i.CreatedAt == image.CreatedAt && i.Owner == image.Owner && i.Name == image.Name,
            cancellationToken);
}
