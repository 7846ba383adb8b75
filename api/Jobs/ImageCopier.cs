using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Memory;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Copies an image's bytes to another store, which becomes a location of the image.</summary>
/// <remarks>The steps have the names of the model in tests/Storage.Tests/Model: begin copy, write blob, commit copy,
/// abandon copy, remove own blob.</remarks>
internal sealed class ImageCopier(
    IDbContextFactory<RegistryDb> databases,
    CopyLedger copies,
    UploadLedger ledger,
    StoreSet stores,
    DiscardedBlobs discarded,
    ProcessMemory memory,
    TimeProvider clock,
    IOptions<RegistryOptions> options)
{
    /// <summary>Copies.</summary>
    /// <param name="imageId">The image.</param>
    /// <param name="target">The store to copy to.</param>
    /// <param name="run">The job, which gets the progress.</param>
    /// <param name="cancellationToken">Cancels; what this attempt wrote is removed.</param>
    /// <returns>Bytes copied; null when the store has the image already.</returns>
    /// <exception cref="RegistryException">The image is not there, has no bytes, or was deleted meanwhile; or another
    /// attempt took over.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    public async Task<long?> CopyAsync(
        string imageId, IBlobStore target, JobRun run, CancellationToken cancellationToken)
    {
        var source = await FindSourceAsync(imageId, cancellationToken);
        var outcome = await AttemptAsync(
            run, source, target,
            lease => copies.BeginAsync(source, target.Id, run.Owner, lease, cancellationToken),
            intent => copies.CommitAsync(intent, source, CancellationToken.None), cancellationToken);
        return outcome switch
        {
            null => null,
            CommitOutcome.Committed => source.DataLength,
            _ => await RequireCopyAsync(imageId, target.Id),
        };
    }

    /// <summary>Makes one attempt: begins, copies verified bytes, and commits. A blob that did not become a location is
    /// removed.</summary>
    /// <param name="run">The job, which gets the progress.</param>
    /// <param name="source">The bytes to copy.</param>
    /// <param name="target">The store to copy to.</param>
    /// <param name="begin">Reserves the blob, for the duration of a lease; null when there is nothing to do.</param>
    /// <param name="commit">Makes the blob a location.</param>
    /// <param name="cancellationToken">Cancels; what this attempt wrote is removed.</param>
    /// <returns>Null when there was nothing to do.</returns>
    /// <exception cref="RegistryException">From <paramref name="begin"/> or <paramref name="commit"/>.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    internal async Task<CommitOutcome?> AttemptAsync(
        JobRun run,
        ImageLocation source,
        IBlobStore target,
        Func<TimeSpan, Task<UploadIntent?>> begin,
        Func<UploadIntent, Task<CommitOutcome>> commit,
        CancellationToken cancellationToken)
    {
        using var buffers = await memory.TakeAsync(
            memory.Uploads, BlobCopy.MemoryBytes(target, source.DataLength), cancellationToken);
        var duration = options.Value.Uploads.Lease;
        var intent = await begin(duration);
        if (intent is null)
        {
            return null;
        }

        CommitOutcome outcome;
        try
        {
            outcome = await CopyAsync(run, source, target, intent, duration, commit, cancellationToken);
        }
        catch (Exception e)
        {
            if (e is BlobCorruptException)
            {
                await stores.NoteFailureAsync(source, e); // the next attempt reads from elsewhere, where there is one
            }

            await ledger.AbandonAsync(intent, "copy_failed", "The copy failed.", CancellationToken.None);
            await discarded.RemoveAsync(intent.StoreId, intent.Key);
            throw;
        }

        if (outcome != CommitOutcome.Committed)
        {
            await discarded.RemoveAsync(intent.StoreId, intent.Key);
        }

        return outcome;
    }

    /// <summary>Whether an image has its bytes in a store.</summary>
    public async Task<bool> HasCopyAsync(string imageId, string storeId)
    {
        await using var db = await databases.CreateDbContextAsync();
        return await db.Locations.AnyAsync(l => l.ImageId == imageId && l.StoreId == storeId);
    }

    /// <summary>Fences off all attempts at a job's copies.</summary>
    public Task GiveUpAsync(Job job) =>
        ledger.ReclaimAsync(job.ImageId!, new JobRun(job).Owner.Name, CancellationToken.None);

    private async Task<CommitOutcome> CopyAsync(
        JobRun run,
        ImageLocation source,
        IBlobStore target,
        UploadIntent intent,
        TimeSpan duration,
        Func<UploadIntent, Task<CommitOutcome>> commit,
        CancellationToken cancellationToken)
    {
        await using var lease = new HeldLease(
            token => ledger.RenewAsync(intent, duration, token), duration, clock, cancellationToken);
        await BlobCopy.RunAsync(
            stores.Get(source.StoreId), source, target, intent.Key,
            bytes => run.Progress = new JobProgress("copying", bytes, source.DataLength), lease.Token);
        return await commit(intent);
    }

    // An attempt that was fenced off has nothing to do where the other one has completed the copy.
    private async Task<long?> RequireCopyAsync(string imageId, string storeId)
    {
        if (await HasCopyAsync(imageId, storeId))
        {
            return null;
        }

        await FindSourceAsync(imageId, CancellationToken.None); // throws when the image was deleted
        throw new RegistryException(ErrorCode.Fenced, $"Another attempt at the copy of image {imageId} took over.");
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
