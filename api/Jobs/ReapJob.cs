using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Metrics;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Gives up expired uploads, queues repairs that found no place before, and removes the blobs of one store that
/// nothing refers to, again and again; one replica at a time.</summary>
internal sealed class ReapJob(
    BlobReaper reaper, UploadLedger ledger, LocationHealth health, StoreSet stores, RegistryMetrics metrics, TimeProvider clock,
    IOptions<RegistryOptions> options) : IJobHandler
{
    // A store that takes long to list is listed a twentieth of the time at most; expired uploads are given up all the same.
    private const int RestAfterLongRound = 20;
    private static readonly TimeSpan LongRound = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<string, (long Since, TimeSpan Pause)> _rests = [];

    /// <inheritdoc/>
    public string Kind => "reap";

    /// <inheritdoc/>
    public TimeSpan? Interval => options.Value.Uploads.ReapInterval;

    /// <inheritdoc/>
    public IEnumerable<JobOrder> Standing => stores.All.Where(store => store.Settings.TakesUploads).Select(store =>
        new JobOrder(Kind, JsonSerializer.Serialize(store.Blobs.Id)) 
        {
            UniqueKey = $"{Kind}:{store.Blobs.Id}", AttemptsMax = JobOrder.Unlimited,
        });

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        await ledger.ReclaimAsync(exceptOwner: null, cancellationToken);
        var id = JsonSerializer.Deserialize<string>(run.Job.Input)!;
        if (stores.Find(id) is { Settings.TakesUploads: false })
        {
            return null; // it has become read-only since
        }

        await health.QueueRepairsAsync(id, location => RepairJob.Order(location.ImageId, id), cancellationToken);
        if (_rests.TryGetValue(id, out var last) && clock.GetElapsedTime(last.Since) < last.Pause)
        {
            return null;
        }

        var started = clock.GetTimestamp();
        var removed = await reaper.ReapAsync(stores.Get(id), options.Value.Uploads.ReapGrace, cancellationToken);
        var elapsed = clock.GetElapsedTime(started);
        _rests[id] = (clock.GetTimestamp(), elapsed > LongRound ? elapsed * RestAfterLongRound : TimeSpan.Zero);
        metrics.Reaped(removed.Count);
        return null;
    }
}
