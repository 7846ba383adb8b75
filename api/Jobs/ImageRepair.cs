using Microsoft.EntityFrameworkCore;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Replaces a damaged location of an image by a copy of one that is whole, in the same store.</summary>
internal sealed class ImageRepair(
    IDbContextFactory<RegistryDb> databases,
    CopyLedger copies,
    ImageCopier copier,
    StoreSet stores,
    WholeLocations whole,
    DiscardedBlobs discarded)
{
    /// <summary>Repairs.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="target">The store whose location is damaged.</param>
    /// <param name="run">The job, which gets the progress.</param>
    /// <param name="cancellationToken">Cancels; what this attempt wrote is removed.</param>
    /// <returns>Bytes copied; null when there is nothing to repair: the location is not marked as damaged, or the image
    /// or the location is gone.</returns>
    /// <exception cref="RegistryException">Conflict: every location is marked as damaged. -or- StoreUnavailable: none
    /// is known to be whole. -or- Fenced: another attempt took over.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    public async Task<long?> RunAsync(
        string imageId, IBlobStore target, JobRun run, CancellationToken cancellationToken)
    {
        if (await FindDamagedAsync(imageId, target.Id, cancellationToken) is not (var image, var damaged))
        {
            return null;
        }

        var sources = await FindSourcesAsync(image, cancellationToken);
        while (true)
        {
            var source = sources.Dequeue();
            try
            {
                return await CopyAsync(source, damaged, target, run, cancellationToken);
            }
            catch (IOException e) when (sources.Count > 0 && !IsOfTarget(e, target))
            {
                if (e is not BlobCorruptException) // which the attempt has noted
                {
                    await stores.NoteFailureAsync(source, e);
                }
            }
        }
    }

    /// <summary>Whether an image has a location in a store that is marked as damaged.</summary>
    public async Task<bool> IsNeededAsync(string imageId, string storeId) =>
        await FindDamagedAsync(imageId, storeId, CancellationToken.None) is not null;

    private static bool IsOfTarget(IOException failure, IBlobStore target) =>
        failure is StoreFullException || (failure is StoreUnavailableException away && away.Store == target.Id);

    private async Task<long?> CopyAsync(
        ImageLocation source,
        ImageLocation damaged,
        IBlobStore target,
        JobRun run,
        CancellationToken cancellationToken)
    {
        var outcome = await copier.AttemptAsync(
            run, source, target,
            lease => copies.BeginRepairAsync(damaged, run.Owner, lease, cancellationToken),
            intent => copies.CommitRepairAsync(intent, damaged, CancellationToken.None), cancellationToken);
        if (outcome == CommitOutcome.Committed)
        {
            await discarded.RemoveAsync(damaged.StoreId, damaged.Key);
            return source.DataLength;
        }

        return outcome == CommitOutcome.Fenced && await IsNeededAsync(damaged.ImageId, damaged.StoreId)
            ? throw new RegistryException(
                ErrorCode.Fenced, $"Another attempt at the repair of image {damaged.ImageId} took over.")
            : null;
    }

    private async Task<Queue<ImageLocation>> FindSourcesAsync(Image image, CancellationToken cancellationToken)
    {
        if (image.Locations.All(l => l.DamagedAt is not null))
        {
            throw new RegistryException(
                ErrorCode.Conflict, $"Image {image.Id} is damaged in each of its stores.", "no_whole_location");
        }

        var isWhole = await whole.FindAsync(image.Locations, cancellationToken);
        var sources = new Queue<ImageLocation>(stores.InOrder(image.Locations.Where(isWhole)));
        return sources.Count > 0
            ? sources
            : throw new RegistryException(
                ErrorCode.StoreUnavailable, $"No other copy of image {image.Id} is known to be whole now.",
                "no_whole_location");
    }

    private async Task<(Image Image, ImageLocation Damaged)?> FindDamagedAsync(
        string imageId, string storeId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var image = await ImageQueries.FindAsync(db, imageId, Viewer.System, tracking: false, cancellationToken);
        return image?.Locations.FirstOrDefault(l => l.StoreId == storeId && l.DamagedAt is not null) is { } damaged
            ? (image, damaged)
            : null;
    }
}
