using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Errors;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Jobs;
using Registry.Api.Memory;
using Registry.Api.Stores;
using Registry.Engine.Inspect;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Import;

/// <summary>Imports an image: brings its bytes to the stores that were asked for, judges them and makes the image
/// active.</summary>
/// <remarks>
/// 1. fetch, unpack or take the disk out, convert (<see cref="ImportSteps"/>), each into staged bytes; 2. judge; 3. copy to the other stores;
/// 4. one transaction: active, with all places. Whatever fails before leaves the image queued, and says why. Bytes that are
/// staged in a store of the image are not moved again: they become its own.
/// </remarks>
internal sealed partial class ImportJob(
    IDbContextFactory<RegistryDb> databases,
    ImportLedger ledger,
    UploadLedger uploads,
    ImageEditor editor,
    ImageCommands images,
    ImportSteps steps,
    DiscardedBlobs discarded,
    ImageCopier copier,
    StoreSet stores,
    ProcessMemory memory,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<ImportJob> logger) : IJobHandler
{
    /// <inheritdoc/>
    public string Kind => ImportOrder.Kind;

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        var order = ImportOrder.Of(run.Job);
        var image = await FindAsync(run.Job.ImageId!, cancellationToken);
        if (order.Method == ImportMethods.Copy)
        {
            return await CopyAsync(run, order, image, cancellationToken);
        }

        if (image.Status is ImageStatus.Active or ImageStatus.Deactivated)
        {
            return Result(image.Id, []); // done, but for telling so
        }

        if (image.Status != ImageStatus.Importing)
        {
            throw new RegistryException(
                ErrorCode.Conflict, image.FailureReason ?? "The import was given up.", image.FailureCode);
        }

        try
        {
            var staged = await steps.RunAsync(run, order, image, cancellationToken);
            return await FinishAsync(run, order, staged, cancellationToken);
        }
        catch (RegistryException e) when (e.Code is ErrorCode.Fenced or ErrorCode.Gone or ErrorCode.NotFound)
        {
            await FindAsync(image.Id, CancellationToken.None); // the better reason, if it is so
            if (e.Reason == ImageStaging.OverReason)
            {
                throw new RegistryException(ErrorCode.Fenced, e.Message, e.Reason, e); // by another attempt at this job
            }

            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<DoneJob?> FindDoneAsync(Job job)
    {
        await using var db = await databases.CreateDbContextAsync();
        var image = await ImageQueries.FindAsync(
            db, job.ImageId!, Viewer.System, tracking: false, CancellationToken.None);
        if (image is not { Status: ImageStatus.Active or ImageStatus.Deactivated })
        {
            return null;
        }

        var order = ImportOrder.Of(job);
        if (order.Method == ImportMethods.Copy)
        {
            if (!order.Stores.All(store => image.Locations.Any(l => l.StoreId == store)))
            {
                return null;
            }

            await EndCopyAsync(image.Id, order.Stores);
        }

        return new DoneJob(Result(image.Id, []));
    }

    /// <inheritdoc/>
    public async Task GiveUpAsync(Job job, string code, string message)
    {
        var order = ImportOrder.Of(job);
        if (order.Method == ImportMethods.Copy)
        {
            await copier.GiveUpAsync(job);
            await EndCopyAsync(job.ImageId!, order.Stores);
            return;
        }

        var staged = await ledger.AbandonAsync(
            job.ImageId!, job.Id, Kind, code, message, Properties(order, order.Stores), CancellationToken.None);
        await CleanAsync(job.ImageId!, order, staged);
    }

    // An image that was made for the import has nothing to wait for.
    private async Task CleanAsync(string imageId, ImportOrder order, StagedBlob? staged)
    {
        if (staged is not null)
        {
            await discarded.RemoveAsync(staged.StoreId, staged.Key);
        }

        if (order.TaskInput is not null)
        {
            await images.DiscardAsync(imageId);
        }
    }

    private async Task<string> FinishAsync(
        JobRun run, ImportOrder order, StagedBlob staged, CancellationToken cancellationToken)
    {
        var image = await FindAsync(staged.ImageId, cancellationToken);
        image.RequireFormats();
        var (disk, container) = steps.FormatsOf(image, staged);
        var verdict = UploadVerdict.Judge(disk, container, StagedForm.ReadInspection(staged));
        BlobIntake.RequireAccepted(verdict.Refusal);

        var duration = options.Value.Uploads.Lease;
        var copies = new List<UploadIntent>();
        await using var lease = new HeldLease(
            async token =>
            {
                UploadIntent[] held;
                lock (copies)
                {
                    held = [.. copies];
                }

                foreach (var copy in held)
                {
                    if (!await uploads.RenewAsync(copy, duration, token))
                    {
                        return false;
                    }
                }

                return true;
            },
            duration, clock, cancellationToken);
        var failed = await CopyAsync(run, order, staged, copies, lease.Token);
        string[] reached = [.. order.Stores.Where(store => !failed.ContainsKey(store))];
        var properties = Properties(order, [.. failed.Keys]);
        if (order.Injects)
        {
            foreach (var (name, value) in options.Value.Import.Inject)
            {
                properties[name] = value;
            }
        }

        var leftover = await ledger.CommitAsync(
            staged,
            new ImportOutcome
            {
                Result = ResultOf(order, staged, verdict, disk, container),
                Judged = (image.DiskFormat, image.ContainerFormat),
                StoreIds = reached,
                Copies = copies,
                Properties = properties,
                Origin = order.Location is { } location ? new LocationOrigin(location.Url, location.Metadata) : null,
            },
            CancellationToken.None);
        if (leftover is not null)
        {
            await discarded.RemoveAsync(leftover.StoreId, leftover.Key);
        }

        return Result(image.Id, failed);
    }

    // Clients that said what the bytes hash to find that hash at the image, in the algorithm that they chose.
    private static UploadResult ResultOf(
        ImportOrder order, StagedBlob staged, UploadVerdict verdict, string diskFormat, string containerFormat)
    {
        var (algorithm, hash) =
            order.Location is { Algorithm: { } given, Hash: { } expected } && staged.Form == StagedForm.Received
                ? (given, expected)
                : (staged.HashAlgorithm, staged.HashValue);
        return new()
        {
            Size = staged.DataLength,
            VirtualSize = staged.DiskBytes ?? verdict.VirtualSize,
            Checksum = staged.Checksum,
            HashAlgorithm = algorithm,
            HashValue = hash,
            DiskFormat = diskFormat,
            ContainerFormat = containerFormat,
            NestedReference = StagedForm.ReadNested(staged),
            IndexLength = staged.IndexLength,
            IndexDigest = staged.IndexDigest,
        };
    }

    // Under promises that are kept alive until the image has the copies: all of them become its own at once.
    private async Task<Dictionary<string, string>> CopyAsync(
        JobRun run,
        ImportOrder order,
        StagedBlob staged,
        List<UploadIntent> copies,
        CancellationToken cancellationToken)
    {
        var failed = new Dictionary<string, string>();
        Exception? first = null;
        foreach (var storeId in order.Stores.Where(store => store != staged.StoreId))
        {
            try
            {
                await CopyAsync(run, staged, stores.Get(storeId), copies, cancellationToken);
            }
            catch (Exception e) when (!order.MustSucceed && !cancellationToken.IsCancellationRequested)
            {
                Log.StoreFailed(logger, staged.ImageId, storeId, e);
                failed.Add(storeId, Refusals.From(e)?.Message ?? "The store failed.");
                first ??= e;
            }

            await RemainingAsync(staged.ImageId, order, storeId, cancellationToken);
        }

        return first is not null && failed.Count == order.Stores.Count
            ? throw new RegistryException(
                ErrorCode.StoreUnavailable, $"None of the stores took the image: {failed.Values.First()}", inner: first)
            : failed;
    }

    private async Task CopyAsync(
        JobRun run,
        StagedBlob staged,
        IBlobStore target,
        List<UploadIntent> copies,
        CancellationToken cancellationToken)
    {
        using var buffers = await memory.TakeAsync(
            memory.Uploads, BlobCopy.MemoryBytes(target, staged.DataLength), cancellationToken);
        var intent = await ledger.BeginCopyAsync(
            staged, target.Id, new IntentOwner(ImageUploads.Owner, run.Job.Lease), options.Value.Uploads.Lease,
            cancellationToken);
        lock (copies)
        {
            copies.Add(intent);
        }

        try
        {
            await BlobCopy.RunAsync(
                stores.Get(staged.StoreId), staged.AsLocation(clock.GetUtcNow()), target, intent.Key,
                bytes => run.Progress = new JobProgress($"copying to {target.Id}", bytes, staged.DataLength),
                cancellationToken);
        }
        catch
        {
            lock (copies)
            {
                copies.Remove(intent);
            }

            await uploads.AbandonAsync(intent, "copy_failed", "The copy failed.", CancellationToken.None);
            await discarded.RemoveAsync(intent.StoreId, intent.Key);
            throw;
        }
    }

    private async Task<string?> CopyAsync(
        JobRun run, ImportOrder order, Image image, CancellationToken cancellationToken)
    {
        var failed = new Dictionary<string, string>();
        foreach (var storeId in order.Stores)
        {
            try
            {
                await copier.CopyAsync(image.Id, stores.Get(storeId), run, cancellationToken);
            }
            catch (Exception e) when (!order.MustSucceed && !cancellationToken.IsCancellationRequested)
            {
                Log.StoreFailed(logger, image.Id, storeId, e);
                failed.Add(storeId, Refusals.From(e)?.Message ?? "The store failed.");
            }

            await RemainingAsync(image.Id, order, storeId, cancellationToken);
        }

        await EndCopyAsync(image.Id, order.Stores);
        return Result(image.Id, failed);
    }

    private async Task RemainingAsync(
        string imageId, ImportOrder order, string done, CancellationToken cancellationToken)
    {
        var remaining = string.Join(',', order.Stores.SkipWhile(store => store != done).Skip(1));
        await editor.ChangeAsync(
            imageId, Viewer.System, image => image.SetProperty(ImportProperties.Stores, remaining), cancellationToken);
    }

    private async Task EndCopyAsync(string imageId, IReadOnlyList<string> wanted)
    {
        try
        {
            await editor.ChangeAsync(
                imageId, Viewer.System,
                image =>
                {
                    var missing = wanted.Where(store => image.Locations.All(l => l.StoreId != store));
                    image.SetProperty(ImportProperties.Stores, "");
                    image.SetProperty(ImportProperties.Failed, string.Join(',', missing));
                    image.RemoveProperty(ImportProperties.Task);
                    image.Touch(clock.GetUtcNow());
                },
                CancellationToken.None);
        }
        catch (RegistryException e) when (e.Code == ErrorCode.NotFound)
        {
            Log.ImageGone(logger, imageId);
        }
    }

    // An image that got its bytes from a location tells of no import.
    private Dictionary<string, string> Properties(ImportOrder order, IReadOnlyList<string> failed) =>
        order.Location is not null
            ? []
            : new()
            {
                [ImportProperties.Stores] = "",
                [ImportProperties.Failed] = stores.IsMultiple ? string.Join(',', failed) : "",
            };

    private static string Result(string imageId, Dictionary<string, string> failed) => failed.Count == 0
        ? JsonSerializer.Serialize(new { image_id = imageId })
        : JsonSerializer.Serialize(new { image_id = imageId, failed_stores = failed });

    private async Task<Image> FindAsync(string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, imageId, Viewer.System, tracking: false, cancellationToken)
            ?? throw new RegistryException(
                ErrorCode.Gone, $"Image {imageId} was deleted before its import was complete.", "image_deleted");
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "import of {ImageId}: store {StoreId} did not take the bytes")]
        public static partial void StoreFailed(ILogger logger, string imageId, string storeId, Exception exception);

        [LoggerMessage(2, LogLevel.Information, "image {ImageId} was deleted while it was copied")]
        public static partial void ImageGone(ILogger logger, string imageId);
    }
}
