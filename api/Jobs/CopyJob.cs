using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.ImageData;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Copies an image's bytes to another store.</summary>
internal sealed class CopyJob(
    IDbContextFactory<RegistryDb> databases,
    CopyLedger copies,
    UploadLedger ledger,
    StoreSet stores,
    TimeProvider clock,
    IOptions<RegistryOptions> options) : IJobHandler
{
    /// <summary>The kind of these jobs.</summary>
    public const string Name = "copy";

    /// <inheritdoc/>
    public string Kind => Name;

    /// <summary>Describes a job that copies an image to a store.</summary>
    public static JobOrder Order(string imageId, string storeId) =>
        new(Name, JsonSerializer.Serialize(storeId)) { ImageId = imageId, UniqueKey = $"{Name}:{imageId}:{storeId}" };

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        var target = stores.Get(JsonSerializer.Deserialize<string>(run.Job.Input)!);
        var source = await FindSourceAsync(run.Job.ImageId!, cancellationToken);
        var duration = options.Value.Uploads.Lease;
        var intent = await copies.BeginAsync(source, target.Id, ImageUploads.Owner, duration, cancellationToken);
        if (intent is null)
        {
            return null; // it is there
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

        return JsonSerializer.Serialize(new { store = target.Id, bytes = source.DataLength });
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
