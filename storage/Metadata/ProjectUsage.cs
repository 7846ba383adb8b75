using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>What a project keeps.</summary>
/// <param name="StoredBytes">Bytes of its images, in all stores together.</param>
/// <param name="StagedBytes">Bytes that wait to be imported.</param>
/// <param name="Images">Images that live.</param>
/// <param name="Uploading">Images that are getting their bytes, or copies of them in other stores.</param>
public sealed record ProjectUsage(long StoredBytes, long StagedBytes, long Images, long Uploading)
{
    private const int IsStored = 0;
    private const int IsStaged = 1;
    private const int IsImage = 2;
    private const int IsUploading = 3;
    /// <summary>Measures what is there.</summary>
    /// <param name="db">The database.</param>
    /// <param name="projectId">The project.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    public static Task<ProjectUsage> MeasureAsync(
        RegistryDb db, string projectId, CancellationToken cancellationToken) =>
        SumAsync(Kept(db, projectId, replaced: null).Concat(Counted(db, projectId)), cancellationToken);

    /// <summary>Measures what is there and what is promised to uploads under way, in one statement and so for one
    /// moment: an upload that ends meanwhile takes no lock of the project, and its bytes are no promise any more when they
    /// are kept.</summary>
    /// <param name="db">The database.</param>
    /// <param name="projectId">The project.</param>
    /// <param name="replaced">An image whose staged bytes are about to be replaced, and do not count.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    internal static Task<ProjectUsage> TakenAsync(
        RegistryDb db, string projectId, string? replaced, CancellationToken cancellationToken) =>
        SumAsync(
            Kept(db, projectId, replaced).Concat(Promised(db, projectId)).Concat(Counted(db, projectId)),
            cancellationToken);

    /// <summary>All bytes that are there or promised, in one statement for the same reason.</summary>
    internal static Task<long> TakenBytesAsync(
        RegistryDb db, string projectId, CancellationToken cancellationToken) =>
        Kept(db, projectId, replaced: null).Concat(Promised(db, projectId)).Select(share => share.Amount)
            .SumAsync(cancellationToken);

    private static async Task<ProjectUsage> SumAsync(IQueryable<Share> shares, CancellationToken cancellationToken)
    {
        var sums = await shares.GroupBy(share => share.Kind)
            .Select(kind => new Share { Kind = kind.Key, Amount = kind.Sum(share => share.Amount) })
            .ToDictionaryAsync(sum => sum.Kind, sum => sum.Amount, cancellationToken).ConfigureAwait(false);
        return new ProjectUsage(
            sums.GetValueOrDefault(IsStored), sums.GetValueOrDefault(IsStaged), sums.GetValueOrDefault(IsImage),
            sums.GetValueOrDefault(IsUploading));
    }

    // The bytes of each copy that the project's images have in a store, and of each upload that waits to be imported.
    private static IQueryable<Share> Kept(RegistryDb db, string projectId, string? replaced) =>
        db.Locations
            .Where(l => db.Images.Where(ImageQueries.IsAlive).Any(i => i.Id == l.ImageId && i.Owner == projectId))
            .Select(l => new Share { Kind = IsStored, Amount = l.DataLength })
            .Concat(db.StagedBlobs
                .Where(s => s.ImageId != replaced && db.Images.Any(i => i.Id == s.ImageId && i.Owner == projectId))
                .Select(s => new Share { Kind = IsStaged, Amount = s.DataLength }));

    // What an image gets while it waits for its import, or is imported, is staged, but for the copies of staged bytes.
    private static IQueryable<Share> Promised(RegistryDb db, string projectId) =>
        db.UploadIntents
            .Where(u => db.Images.Any(i => i.Id == u.ImageId && i.Owner == projectId))
            .Select(u => new Share
            {
                Kind = db.Images.Any(i => i.Id == u.ImageId && i.Status == ImageStatus.Uploading)
                    || (db.Images.Any(i => i.Id == u.ImageId && i.Status == ImageStatus.Importing)
                        && !db.StagedBlobs.Any(s => s.ImageId == u.ImageId && s.Generation == u.Generation))
                    ? IsStaged
                    : IsStored,
                Amount = u.ReservedBytes,
            });

    private static IQueryable<Share> Counted(RegistryDb db, string projectId)
    {
        var own = db.Images.Where(ImageQueries.IsAlive).Where(i => i.Owner == projectId);
        var uploading = own.Where(i => i.Status == ImageStatus.Saving || i.Status == ImageStatus.Uploading
            || i.Status == ImageStatus.Importing
            || db.Properties.Any(p => p.ImageId == i.Id && p.Name == ImportProperties.Stores && p.Value != ""));
        return own.Select(i => new Share { Kind = IsImage, Amount = 1 })
            .Concat(uploading.Select(i => new Share { Kind = IsUploading, Amount = 1 }));
    }

    private sealed class Share
    {
        public int Kind { get; init; }

        public long Amount { get; init; }
    }
}
