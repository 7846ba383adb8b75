using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Storage.Blobs;

/// <summary>Which blobs of a store somebody refers to: an image that lives, or work under way.</summary>
internal static class BlobReferences
{
    /// <summary>Of a batch of blobs that were listed before the call, those that are wanted.</summary>
    public static async Task<HashSet<BlobKey>> FindAsync(
        IDbContextFactory<RegistryDb> databases,
        string storeId,
        IReadOnlyCollection<BlobEntry> batch,
        CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return await FindAsync(db, storeId, [.. batch.Select(entry => entry.Key)], cancellationToken)
            .ConfigureAwait(false);
    }

    /// <summary>Of blobs that were found before the call, those that are wanted, and others of the same images.</summary>
    // Intents are read first, staged bytes next: a commit between two queries takes the one away and adds the other, and
    // in the opposite order neither would be seen. A blob that is unwanted stays so: only the intent of a generation can
    // make its location, and no generation is used twice.
    public static async Task<HashSet<BlobKey>> FindAsync(
        RegistryDb db, string storeId, IReadOnlyCollection<BlobKey> keys, CancellationToken cancellationToken)
    {
        var ids = keys.Select(key => key.ImageId).Distinct(StringComparer.Ordinal).ToArray();
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
