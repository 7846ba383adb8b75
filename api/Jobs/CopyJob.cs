using System.Text.Json;
using Registry.Api.Stores;
using Registry.Storage.Domain;

namespace Registry.Api.Jobs;

/// <summary>Copies an image's bytes to another store.</summary>
internal sealed class CopyJob(ImageCopier copier, StoreSet stores) : IJobHandler
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
        var copied = await copier.CopyAsync(run.Job.ImageId!, target, run, cancellationToken);
        return copied is { } bytes ? JsonSerializer.Serialize(new { store = target.Id, bytes }) : null;
    }

    /// <inheritdoc/>
    public Task GiveUpAsync(Job job, string code, string message) => copier.GiveUpAsync(job);

    /// <inheritdoc/>
    public async Task<DoneJob?> FindDoneAsync(Job job) =>
        await copier.HasCopyAsync(job.ImageId!, JsonSerializer.Deserialize<string>(job.Input)!)
            ? new DoneJob(Result: null)
            : null;
}
