using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Storage.Blobs;

/// <summary>Which blobs of a store somebody refers to: an image that lives, or work under way.</summary>
internal static class BlobReferences
{
    /// <summary>Of a batch of blobs that were listed before the call, those that are wanted.</summary>
    // Asked after listing, so nothing that was wanted then is missed. Intents first, what is staged next: a commit between
    // two questions takes the one away and puts the other there, so asked the other way round it would be seen by neither.
    // Once unwanted, always unwanted: only the intent of a generation can make its location, and none is made twice.
    public static async Task<HashSet<BlobKey>> FindAsync(
        IDbContextFactory<RegistryDb> databases,
        string storeId,
        IReadOnlyCollection<BlobEntry> batch,
        CancellationToken cancellationToken)
    {
        var ids = batch.Select(entry => entry.Key.ImageId).Distinct(StringComparer.Ordinal).ToArray();
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        var wanted = await db.UploadIntents
            .Where(i => i.StoreId == storeId && ids.Contains(i.ImageId))
            .Select(i => new BlobKey(i.ImageId, i.Generation))
            .ToHashSetAsync(cancellationToken).ConfigureAwait(false);
        var staged = await db.StagedBlobs
            .Where(s => s.StoreId == storeId && ids.Contains(s.ImageId))
            .Select(s => new BlobKey(s.ImageId, s.Generation))
            .ToListAsync(cancellationToken).ConfigureAwait(false);
        wanted.UnionWith(staged);
        var located = await db.Locations
            .Where(l => l.StoreId == storeId && ids.Contains(l.ImageId))
            .Where(l => db.Images.Any(i => i.Id == l.ImageId && i.Status != ImageStatus.Deleted))
            .Select(l => new BlobKey(l.ImageId, l.Generation))
            .ToListAsync(cancellationToken).ConfigureAwait(false);
        wanted.UnionWith(located);
        return wanted;
    }
}
