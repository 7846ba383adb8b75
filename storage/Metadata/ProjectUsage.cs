using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>What a project keeps.</summary>
/// <param name="StoredBytes">Bytes of its images, in all stores together.</param>
/// <param name="StagedBytes">Bytes that wait to be imported.</param>
/// <param name="Images">Images that live.</param>
/// <param name="Uploading">Images that are getting their bytes.</param>
public sealed record ProjectUsage(long StoredBytes, long StagedBytes, int Images, int Uploading)
{
    /// <summary>Measures.</summary>
    /// <param name="db">The database.</param>
    /// <param name="projectId">The project.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    public static async Task<ProjectUsage> MeasureAsync(
        RegistryDb db, string projectId, CancellationToken cancellationToken)
    {
        var own = db.Images.Where(i => i.Owner == projectId && i.Status != ImageStatus.Deleted
            && i.Status != ImageStatus.PendingDelete);
        return new ProjectUsage(
            await Stored(db, projectId).SumAsync(cancellationToken).ConfigureAwait(false),
            await Staged(db, projectId).SumAsync(cancellationToken).ConfigureAwait(false),
            await own.CountAsync(cancellationToken).ConfigureAwait(false),
            await own.CountAsync(
                i => i.Status == ImageStatus.Saving || i.Status == ImageStatus.Uploading
                    || i.Status == ImageStatus.Importing,
                cancellationToken).ConfigureAwait(false));
    }

    /// <summary>The bytes of each copy that the project's images have in a store.</summary>
    internal static IQueryable<long> Stored(RegistryDb db, string projectId) =>
        db.Locations
            .Where(l => db.Images.Any(i =>
                i.Id == l.ImageId && i.Owner == projectId && i.Status != ImageStatus.Deleted
                && i.Status != ImageStatus.PendingDelete))
            .Select(l => l.DataLength);

    /// <summary>The bytes of each upload that waits to be imported.</summary>
    internal static IQueryable<long> Staged(RegistryDb db, string projectId) =>
        db.StagedBlobs
            .Where(s => db.Images.Any(i => i.Id == s.ImageId && i.Owner == projectId))
            .Select(s => s.DataLength);
}
