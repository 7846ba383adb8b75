using System.Text.Json;
using Registry.Api.Stores;
using Registry.Storage.Domain;

namespace Registry.Api.Jobs;

/// <summary>Replaces an image's damaged bytes in a store by a copy from another store.</summary>
internal sealed class RepairJob(ImageRepair repair, ImageCopier copier, StoreSet stores) : IJobHandler
{
    /// <summary>The kind of these jobs.</summary>
    public const string Name = "repair";

    /// <inheritdoc/>
    public string Kind => Name;

    /// <summary>Describes a job that repairs an image in a store; however often the damage is noticed, one is pending
    /// or running.</summary>
    public static JobOrder Order(string imageId, string storeId) =>
        new(Name, JsonSerializer.Serialize(storeId)) { ImageId = imageId, UniqueKey = $"{Name}:{imageId}:{storeId}" };

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        var target = stores.RequireWritable(StoreOf(run.Job));
        var copied = await repair.RunAsync(run.Job.ImageId!, target, run, cancellationToken);
        return Result(target.Id, copied);
    }

    /// <inheritdoc/>
    public Task GiveUpAsync(Job job, string code, string message) => copier.GiveUpAsync(job);

    /// <inheritdoc/>
    public async Task<DoneJob?> FindDoneAsync(Job job) =>
        await repair.IsNeededAsync(job.ImageId!, StoreOf(job)) ? null : new DoneJob(Result(StoreOf(job), copied: null));

    private static string StoreOf(Job job) => JsonSerializer.Deserialize<string>(job.Input)!;

    private static string Result(string store, long? copied) => copied is { } bytes
        ? JsonSerializer.Serialize(new { store, outcome = "repaired", bytes })
        : JsonSerializer.Serialize(new { store, outcome = "not_needed" });
}
