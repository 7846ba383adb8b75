using Microsoft.Extensions.Options;
using Registry.Api.ImageData;
using Registry.Api.Jobs;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Import;

/// <summary>Where staged bytes go, and for whom.</summary>
/// <param name="ImageId">The image.</param>
/// <param name="Job">The attempt at the image's import that stages them; null for a client.</param>
/// <param name="Store">The store.</param>
/// <param name="Form">What has been done to them: see <see cref="StagedForm"/>.</param>
internal sealed record StagingTarget(string ImageId, JobLease? Job, IBlobStore Store, string Form)
{
    /// <summary>The project of the client that stages them; null for a job.</summary>
    public string? ProjectId { get; init; }
}

/// <summary>Takes bytes that are to be imported into a store: an upload in all but that the image does not become active.
/// Nothing of it is on this machine, so any replica can go on from there.</summary>
internal sealed partial class ImageStaging(
    StagingLedger staging,
    UploadLedger ledger,
    StorageQuota quota,
    BlobIntake intake,
    DiscardedBlobs discarded,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<ImageStaging> logger)
{
    /// <summary>Reason of the refusal of bytes whose image was deleted, or whose attempt was fenced off.</summary>
    public const string OverReason = "staging_over";

    /// <summary>Takes bytes to their end.</summary>
    /// <param name="target">Where they go.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="judge">What is refused.</param>
    /// <param name="cancellationToken">Fires when the client goes away, or the job is not this process's any
    /// more.</param>
    /// <exception cref="RegistryException">Refused, or fenced: see <see cref="StagingLedger.BeginAsync"/> and
    /// <see cref="BlobIntake.TakeAsync"/>.</exception>
    /// <exception cref="IOException">The sender went away or the store failed.</exception>
    public async Task<StagedBlob> TakeAsync(
        StagingTarget target, IUploadBody body, IntakeJudge judge, CancellationToken cancellationToken)
    {
        intake.RequireLength(body);
        using var memory = await intake.ReserveAsync(
            target.Store, body.Length, target.ProjectId, cancellationToken);
        var intent = await staging.BeginAsync(
            target.ImageId, isJob: target.Job is not null, target.Store.Id,
            new IntentOwner(ImageUploads.Owner, target.Job), options.Value.Uploads.Lease, body.Length, cancellationToken);
        try
        {
            body = quota.IsLimited && body.Length is null ? new ReservingBody(body, ledger, intent) : body;
            return await TakeAsync(target, intent, body, judge, cancellationToken);
        }
        catch (Exception e)
        {
            await AbandonAsync(intent, e);
            throw;
        }
    }

    private async Task<StagedBlob> TakeAsync(
        StagingTarget target,
        UploadIntent intent,
        IUploadBody body,
        IntakeJudge judge,
        CancellationToken cancellationToken)
    {
        var duration = options.Value.Uploads.Lease;
        await using var lease = new HeldLease(
            token => ledger.RenewAsync(intent, duration, token), duration, clock, cancellationToken);
        TakenBlob taken;
        try
        {
            TimeSpan? patience = target.Job is not null ? options.Value.Outbound.Deadline : null;
            taken = await intake.TakeAsync(target.Store, intent.Key, body, judge, patience, lease.Token);
        }
        catch (OperationCanceledException) when (lease.IsLost && !cancellationToken.IsCancellationRequested)
        {
            throw Over(target.ImageId);
        }

        var (summary, disk, root) = taken;
        var staged = new StagedBlob(
            intent.ImageId, intent.Generation, intent.StoreId, summary.Length, root.IndexLength,
            root.IndexDigest.ToArray(), summary.Md5, "sha512", summary.Sha512, disk?.VirtualSize,
            target.Form, StagedForm.Write(summary.Inspection, disk?.Nested));

        // From here on a cancelled caller changes nothing: the bytes are durable, the transaction decides.
        var (outcome, replaced) = await staging.CommitAsync(intent, staged, CancellationToken.None);
        if (outcome == CommitOutcome.Fenced)
        {
            await discarded.RemoveAsync(intent.StoreId, intent.Key);
            throw Over(target.ImageId);
        }

        if (replaced is not null)
        {
            await discarded.RemoveAsync(replaced.StoreId, replaced.Key);
        }

        return staged;
    }

    private async Task AbandonAsync(UploadIntent intent, Exception cause)
    {
        var (code, reason, _) = UploadFailure.Of(cause);
        try
        {
            await ledger.AbandonAsync(intent, code, reason, CancellationToken.None);
        }
        catch (Exception e)
        {
            Log.NotAbandoned(logger, intent.ImageId, intent.Generation, e); // the lease runs out and the reaper does it
        }
    }

    private static RegistryException Over(string imageId) => new(
        ErrorCode.Gone, $"Image {imageId} was deleted meanwhile, or somebody else has taken over.", OverReason);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "staging of {ImageId}/{Generation}: giving up its claim failed; it expires by itself")]
        public static partial void NotAbandoned(ILogger logger, string imageId, long generation, Exception exception);
    }
}
