using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Jobs;
using Registry.Api.Metrics;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Engine.Inspect;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.ImageData;

/// <summary>The upload of an image's bytes, the same for HTTP and gRPC.</summary>
/// <remarks>
/// 1. authorise; 2. claim: an intent row, the image saving, a new generation; 3. one pass over the body: digests,
/// inspection, block digests, writer; 4. judge the content, map the disk and check every reference in it; 5. commit the
/// blob under a key that holds the generation; 6. one transaction: the image active where status and generation still
/// match. Anything that fails leaves the image queued, no bytes behind, and says why. A killed server leaves an intent
/// that expires.
/// </remarks>
internal sealed partial class ImageUploads(
    IDbContextFactory<RegistryDb> databases,
    UploadLedger ledger,
    StorageQuota quota,
    StoreSet stores,
    DiscardedBlobs discarded,
    PolicyEngine policy,
    BlobIntake intake,
    UploadSlots slots,
    RegistryMetrics metrics,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<ImageUploads> logger)
{
    private static readonly string Instance = $"{Environment.MachineName}/{Environment.ProcessId}/{Guid.NewGuid():N}";

    /// <summary>Name of this process in upload claims.</summary>
    public static string Owner => Instance;

    /// <summary>Takes an upload.</summary>
    /// <param name="caller">Who uploads.</param>
    /// <param name="imageId">The image, which must be queued.</param>
    /// <param name="storeId">The store to keep them in; null for the default.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="cancellationToken">Fires when the client goes away.</param>
    /// <exception cref="RegistryException">Refused: not found, forbidden, wrong status, formats not set, no such
    /// store, too large, wrong length, content that is not what was declared or not safe, fenced by another upload.</exception>
    /// <exception cref="IOException">The client went away or the store failed.</exception>
    public async Task UploadAsync(
        Caller caller, string imageId, string? storeId, IUploadBody body, CancellationToken cancellationToken)
    {
        using var span = RegistryMetrics.Traces.StartActivity("upload");
        span?.SetTag("image.id", imageId);
        await AuthoriseAsync(caller, imageId, cancellationToken);
        var store = stores.ForUpload(storeId);
        intake.RequireLength(body);
        using var slot = await slots.TakeAsync(caller.ProjectId, body, cancellationToken);
        using var memory = await intake.ReserveAsync(store, body.Length, caller.ProjectId, cancellationToken);
        await ClaimAndTakeAsync(caller.Viewer, imageId, store, Instance, body, cancellationToken);
    }

    /// <summary>Takes what a job has made for an image that it has.</summary>
    /// <param name="imageId">The image, which must be queued.</param>
    /// <param name="storeId">The store to keep the bytes in; null for the default.</param>
    /// <param name="owner">Whose upload it is: this process's, or a job's.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="cancellationToken">Fires when the job is not this process's any more.</param>
    /// <exception cref="RegistryException">Refused, as of an upload.</exception>
    /// <exception cref="IOException">The store failed, or the body.</exception>
    public async Task TakeAsync(
        string imageId, string? storeId, IntentOwner owner, IUploadBody body, CancellationToken cancellationToken)
    {
        intake.RequireLength(body);
        var store = stores.ForUpload(storeId);
        using var memory = await intake.ReserveAsync(store, body.Length, projectId: null, cancellationToken);
        await ClaimAndTakeAsync(Viewer.System, imageId, store, owner, body, cancellationToken);
    }

    /// <summary>An image's status; null when there is no such image any more.</summary>
    public async Task<ImageStatus?> StatusAsync(string imageId)
    {
        await using var db = await databases.CreateDbContextAsync();
        return await db.Images.Where(i => i.Id == imageId && i.Status != ImageStatus.Deleted)
            .Select(i => (ImageStatus?)i.Status).SingleOrDefaultAsync();
    }

    private async Task ClaimAndTakeAsync(
        Viewer viewer,
        string imageId,
        IBlobStore store,
        IntentOwner owner,
        IUploadBody body,
        CancellationToken cancellationToken)
    {
        var intent = await ledger.BeginAsync(
            imageId, store.Id, owner, options.Value.Uploads.Lease, body.Length, cancellationToken);
        var started = clock.GetTimestamp();
        metrics.UploadStarted();
        var (outcome, length) = ("failed", 0L);
        try
        {
            body = quota.IsLimited && body.Length is null ? new ReservingBody(body, ledger, intent) : body;
            length = await TakeAsync(viewer, intent, body, cancellationToken);
            outcome = "active";
        }
        catch (Exception e)
        {
            outcome = await AbandonAsync(intent, e);
            throw;
        }
        finally
        {
            var elapsed = clock.GetElapsedTime(started);
            metrics.UploadEnded(outcome, length, elapsed);
            Log.Ended(logger, imageId, intent.Generation, outcome, length, (long)elapsed.TotalMilliseconds);
        }
    }

    private async Task AuthoriseAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        var image = await FindAsync(caller.Viewer, imageId, cancellationToken) ?? throw Images.ImageCommands.NotFound(imageId);
        policy.Require(caller, "upload_image", image);
        if (image.Status == ImageStatus.Queued)
        {
            image.RequireFormats();
        }
    }

    private async Task<Image?> FindAsync(Viewer viewer, string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, imageId, viewer, tracking: false, cancellationToken);
    }

    private async Task<long> TakeAsync(
        Viewer viewer, UploadIntent intent, IUploadBody body, CancellationToken cancellationToken)
    {
        var duration = options.Value.Uploads.Lease;
        await using var lease = new HeldLease(
            token => ledger.RenewAsync(intent, duration, token), duration, clock, cancellationToken);
        try
        {
            // Read under the claim: while the image is saving its formats cannot change; what is judged stays.
            var image = await FindAsync(viewer, intent.ImageId, lease.Token) ?? throw await FencedAsync(intent.ImageId);
            image.RequireFormats();
            return await StoreAsync(image, intent, body, lease);
        }
        catch (OperationCanceledException) when (lease.IsLost && !cancellationToken.IsCancellationRequested)
        {
            throw await FencedAsync(intent.ImageId);
        }
    }

    private async Task<long> StoreAsync(Image image, UploadIntent intent, IUploadBody body, HeldLease lease)
    {
        var store = stores.Get(intent.StoreId);
        var (summary, disk, root) = await intake.TakeAsync(
            store, intent.Key, body, IntakeJudge.For(image), patience: null, lease.Token);
        var verdict = UploadVerdict.Judge(image.DiskFormat!, image.ContainerFormat, summary.Inspection);

        // From here on a cancelled client changes nothing: the bytes are durable, the transaction decides.
        var outcome = await ledger.CommitAsync(
            intent,
            new UploadResult
            {
                Size = summary.Length,
                VirtualSize = disk?.VirtualSize ?? verdict.VirtualSize,
                Checksum = summary.Md5,
                HashAlgorithm = "sha512",
                HashValue = summary.Sha512,
                NestedReference = disk?.Nested,
                IndexLength = root.IndexLength,
                IndexDigest = root.IndexDigest,
            },
            CancellationToken.None);
        if (outcome == CommitOutcome.Fenced)
        {
            await discarded.RemoveAsync(intent.StoreId, intent.Key);
            throw await FencedAsync(intent.ImageId);
        }

        return summary.Length;
    }

    private async Task<RegistryException> FencedAsync(string imageId)
    {
        await using var db = await databases.CreateDbContextAsync(CancellationToken.None);
        var isThere = await db.Images.AnyAsync(i => i.Id == imageId && i.Status != ImageStatus.Deleted);
        return isThere
            ? new RegistryException(ErrorCode.Fenced, "Another upload of this image took over; this one was discarded.")
            : new RegistryException(ErrorCode.Gone, $"Image {imageId} was deleted during the upload.");
    }

    private async Task<string> AbandonAsync(UploadIntent intent, Exception cause)
    {
        var (code, reason, refusal) = UploadFailure.Of(cause);
        try
        {
            if (refusal?.Code == ErrorCode.DatabaseUnavailable)
            {
                // It has just been asked in vain, and the client waits for its answer.
                Log.NotAbandoned(logger, intent.ImageId, intent.Generation, cause);
                return "failed";
            }

            // The client may be gone and its token with it; the claim is given up all the same.
            await ledger.AbandonAsync(intent, code, reason, CancellationToken.None);
        }
        catch (Exception e)
        {
            Log.NotAbandoned(logger, intent.ImageId, intent.Generation, e); // the lease runs out and the reaper does it
        }

        return refusal?.Code switch
        {
            null => "failed",
            ErrorCode.Fenced or ErrorCode.Gone => "fenced",
            _ => "rejected",
        };
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information,
            "upload of {ImageId}/{Generation}: {Outcome}, {Bytes} bytes in {Milliseconds} ms")]
        public static partial void Ended(
            ILogger logger, string imageId, long generation, string outcome, long bytes, long milliseconds);

        [LoggerMessage(2, LogLevel.Warning,
            "upload of {ImageId}/{Generation}: giving up its claim failed; it expires by itself")]
        public static partial void NotAbandoned(ILogger logger, string imageId, long generation, Exception exception);
    }
}
