using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Copies an image's bytes to another store, where they are another place of the image then.</summary>
internal sealed class ImageCopier(
    IDbContextFactory<RegistryDb> databases,
    CopyLedger copies,
    UploadLedger ledger,
    StoreSet stores,
    TimeProvider clock,
    IOptions<RegistryOptions> options)
{
    /// <summary>Copies.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="target">The store to copy to.</param>
    /// <param name="run">The job, told how far it is.</param>
    /// <param name="cancellationToken">Cancels; nothing is left behind.</param>
    /// <returns>Bytes copied; null when they were there already.</returns>
    /// <exception cref="RegistryException">The image is not there, has no bytes, or was deleted meanwhile.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    public async Task<long?> CopyAsync(
        string imageId, IBlobStore target, JobRun run, CancellationToken cancellationToken)
    {
        var source = await FindSourceAsync(imageId, cancellationToken);
        var duration = options.Value.Uploads.Lease;
        var intent = await copies.BeginAsync(source, target.Id, run.Owner, duration, cancellationToken);
        if (intent is null)
        {
            return null;
        }

        try
        {
            await CopyAsync(run, source, target, intent, duration, cancellationToken);
        }
        catch (Exception e)
        {
            if (e is BlobCorruptException)
            {
                await stores.NoteFailureAsync(source, e); // the next attempt reads from elsewhere, where there is one
            }

            await ledger.AbandonAsync(intent, "copy_failed", "The copy failed.", CancellationToken.None);
            throw;
        }

        return source.DataLength;
    }

    private async Task CopyAsync(
        JobRun run,
        ImageLocation source,
        IBlobStore target,
        UploadIntent intent,
        TimeSpan duration,
        CancellationToken cancellationToken)
    {
        await using var lease = new HeldLease(
            token => ledger.RenewAsync(intent, duration, token), duration, clock, cancellationToken);
        await target.DeleteAsync(intent.Key, lease.Token); // what an attempt that was killed left
        await BlobCopy.RunAsync(
            stores.Get(source.StoreId), source, target,
            bytes => run.Progress = new JobProgress("copying", bytes, source.DataLength), lease.Token);
        if (await copies.CommitAsync(intent, source, CancellationToken.None) == CommitOutcome.Fenced)
        {
            await target.DeleteAsync(intent.Key, CancellationToken.None);
            throw new RegistryException(ErrorCode.Gone, $"Image {source.ImageId} was deleted during the copy.");
        }
    }

    private async Task<ImageLocation> FindSourceAsync(string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var image = await ImageQueries.FindAsync(db, imageId, Viewer.System, tracking: false, cancellationToken)
            ?? throw Images.ImageCommands.NotFound(imageId);
        return stores.InOrder(image.Locations) is [var first, ..]
            ? first
            : throw new RegistryException(ErrorCode.Conflict, $"Image {imageId} has no data.", "no_data");
    }
}
