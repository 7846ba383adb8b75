using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Api.Jobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Provisioning;

/// <summary>Makes a disk of an image where the server can: a file in a target directory, or a new image.</summary>
internal sealed class ProvisionJob(
    StoredDisks disks,
    ReadShares shares,
    ImageUploads uploads,
    UploadLedger ledger,
    ImageCommands images,
    IOptions<RegistryOptions> options)
    : IJobHandler
{
    /// <summary>The kind of these jobs.</summary>
    public const string Name = "provision";

    /// <inheritdoc/>
    public string Kind => Name;

    /// <summary>Describes a job. Two of one file are one.</summary>
    public static JobOrder Order(ProvisionOrder order) => new(Name, JsonSerializer.Serialize(order))
    {
        ImageId = order.ImageId,
        UniqueKey = order.Target is null ? null : $"{Name}:{order.Target}:{order.Name}",
    };

    /// <summary>The directory of a target.</summary>
    /// <exception cref="RegistryException">BadRequest: there is no such target.</exception>
    public static string Target(RegistryOptions options, string id) =>
        options.Provisioning.Targets.FirstOrDefault(target => target.Id == id)?.Path
        ?? throw new RegistryException(
            ErrorCode.BadRequest, $"There is no target '{ImageRules.Shown(id)}'.", "unknown_target");

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        var order = OrderOf(run.Job);
        return order.Target is null
            ? await ToImageAsync(run, order, cancellationToken)
            : await ToFileAsync(run, order, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task GiveUpAsync(Job job, string code, string message)
    {
        var order = OrderOf(job);
        if (order.Target is not null)
        {
            new TargetDisk(Target(options.Value, order.Target), order.Name, job.Id, job.Attempt).Remove();
            return;
        }

        await ledger.ReclaimAsync(order.NewImageId!, new JobRun(job).Owner.Name, CancellationToken.None);
        await images.DiscardAsync(order.NewImageId!);
    }

    /// <inheritdoc/>
    public async Task<DoneJob?> FindDoneAsync(Job job) =>
        OrderOf(job) is { NewImageId: { } made }
            && await uploads.StatusAsync(made) is ImageStatus.Active or ImageStatus.Deactivated
            ? new DoneJob(ResultOf(made))
            : null;

    private async Task<string> ToFileAsync(JobRun run, ProvisionOrder order, CancellationToken cancellationToken)
    {
        await using var reading = await OpenAsync(order, cancellationToken);
        var stored = reading.Open;
        var file = new TargetDisk(Target(options.Value, order.Target!), order.Name, run.Job.Id, run.Job.Attempt);
        var written = await file.MakeAsync(
            stored, order, reading.Share.Options,
            (done, total) => run.Progress = new JobProgress("writing", done, total), cancellationToken);
        return JsonSerializer.Serialize(new
        {
            target = order.Target, name = order.Name, size = stored.SizeFor(order.Size), written,
            read_from_store = stored.Blob.BytesRead,
        });
    }

    private async Task<string> ToImageAsync(JobRun run, ProvisionOrder order, CancellationToken cancellationToken)
    {
        var made = order.NewImageId!;
        await ledger.ReclaimAsync(made, run.Owner.Name, cancellationToken);
        var status = await uploads.StatusAsync(made);
        if (status is ImageStatus.Saving or ImageStatus.Uploading or ImageStatus.Importing)
        {
            throw new RegistryException(ErrorCode.Busy, $"Image {made} is {ImageStatuses.Name(status.Value)}.");
        }

        if (status is ImageStatus.Queued)
        {
            var reading = await OpenAsync(order, cancellationToken);
            await using var body = await ConvertedBody.OpenAsync(
                reading, order.Format, order.Size,
                bytes => run.Progress = run.Progress with { Step = "writing", Done = bytes }, cancellationToken);
            run.Progress = new JobProgress("writing", 0, body.Length);
            await uploads.TakeAsync(made, order.Store, run.Owner, body, cancellationToken);
        }
        else if (status is null)
        {
            throw new RegistryException(ErrorCode.Gone, $"Image {made} was deleted before it was made.", "image_deleted");
        }

        return ResultOf(made);
    }

    private static string ResultOf(string made) => JsonSerializer.Serialize(new { image_id = made });

    private ValueTask<ReadShares.Reading<StoredDisk>> OpenAsync(
        ProvisionOrder order, CancellationToken cancellationToken) =>
        shares.OpenAsync(() => disks.OpenAsync(order.ImageId, cancellationToken), cancellationToken);

    private static ProvisionOrder OrderOf(Job job) => JsonSerializer.Deserialize<ProvisionOrder>(job.Input)!;
}
