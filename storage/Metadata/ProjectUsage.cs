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
            await StoredBytesAsync(db, projectId, cancellationToken).ConfigureAwait(false),
            await StagedBytesAsync(db, projectId, cancellationToken).ConfigureAwait(false),
            await own.CountAsync(cancellationToken).ConfigureAwait(false),
            await own.CountAsync(
                i => i.Status == ImageStatus.Saving || i.Status == ImageStatus.Uploading
                    || i.Status == ImageStatus.Importing,
                cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Sums up what the project's images have in all stores together.</summary>
    internal static Task<long> StoredBytesAsync(
        RegistryDb db, string projectId, CancellationToken cancellationToken) =>
        db.Locations
            .Where(l => db.Images.Any(i =>
                i.Id == l.ImageId && i.Owner == projectId && i.Status != ImageStatus.Deleted
                && i.Status != ImageStatus.PendingDelete))
            .SumAsync(l => l.DataLength, cancellationToken);

    /// <summary>Sums up what waits to be imported.</summary>
    internal static Task<long> StagedBytesAsync(
        RegistryDb db, string projectId, CancellationToken cancellationToken) =>
        db.StagedBlobs
            .Where(s => db.Images.Any(i => i.Id == s.ImageId && i.Owner == projectId))
            .SumAsync(s => s.DataLength, cancellationToken);
}
