using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Options;
using Registry.Api.Metrics;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

namespace Registry.Api.Jobs;

/// <summary>Compares the stores with the database, and every byte with its digest. Reports, and queues the repair of
/// what is damaged or missing; removes leftovers only when told to.</summary>
internal sealed class ScrubJob(
    BlobScrub scrub, StoreSet stores, RegistryMetrics metrics, IOptions<RegistryOptions> options) : IJobHandler
{
    /// <summary>The kind of these jobs.</summary>
    public const string Name = "scrub";

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    /// <inheritdoc/>
    public string Kind => Name;

    /// <inheritdoc/>
    public bool HasOwnWorker => true;

    /// <summary>Describes a scrub. One at a time: a second one waits for nobody, it joins the first.</summary>
    public static JobOrder Order(ScrubRequest request) =>
        new(Name, JsonSerializer.Serialize(request, Json)) { UniqueKey = Name };

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        var request = JsonSerializer.Deserialize<ScrubRequest>(run.Job.Input, Json)!;
        var reports = new List<ScrubReport>();
        foreach (var (store, settings) in stores.All.Where(s => request.Store is null || s.Blobs.Id == request.Store))
        {
            var mayRemove = request.Apply && settings.TakesUploads;
            var how = new ScrubOptions(request.Data, mayRemove, options.Value.Uploads.ReapGrace)
            {
                Repair = settings.TakesUploads ? found => RepairJob.Order(found.ImageId, found.StoreId) : null,
            };
            reports.Add(await scrub.RunAsync(
                store, how, (done, total) => run.Progress = new JobProgress(store.Id, done, total),
                cancellationToken));
        }

        var counts = reports.SelectMany(r => r.Counts).GroupBy(c => c.Key)
            .ToDictionary(g => g.Key, g => g.Sum(c => c.Value));
        foreach (var (problem, count) in counts)
        {
            metrics.Scrubbed(JsonNamingPolicy.CamelCase.ConvertName(problem.ToString()), count);
        }

        return JsonSerializer.Serialize(
            new ScrubResult(
                reports.Sum(r => r.Blobs), reports.Sum(r => r.Bytes), counts,
                [.. reports.SelectMany(r => r.Findings).Take(ScrubReport.FindingsMax)]),
            Json);
    }
}

/// <summary>What to scrub.</summary>
/// <param name="Store">One store; null for all.</param>
/// <param name="Data">Read every byte; otherwise only look whether blobs are there.</param>
/// <param name="Apply">Remove what nothing refers to.</param>
public sealed record ScrubRequest(string? Store = null, bool Data = true, bool Apply = false);

/// <summary>What a scrub came to.</summary>
/// <param name="Blobs">Blobs looked at.</param>
/// <param name="Bytes">Bytes compared with their digests.</param>
/// <param name="Counts">How often each problem was found.</param>
/// <param name="Findings">The first of them, one by one.</param>
public sealed record ScrubResult(
    long Blobs, long Bytes, IReadOnlyDictionary<ScrubProblem, long> Counts, IReadOnlyList<ScrubFinding> Findings);
