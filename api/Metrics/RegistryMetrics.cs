using System.Diagnostics;
using System.Diagnostics.Metrics;
using Registry.Storage.Blobs.Cache;
using Registry.Storage.Memory;

namespace Registry.Api.Metrics;

/// <summary>Every instrument and the trace source of the server.</summary>
public sealed class RegistryMetrics : IDisposable
{
    /// <summary>Name of the meter and of the activity source.</summary>
    public const string Name = "Registry";

    /// <summary>Source of the server's own spans.</summary>
    public static readonly ActivitySource Traces = new(Name);

    private readonly Meter _meter;
    private readonly Counter<long> _uploads;
    private readonly Counter<long> _uploadedBytes;
    private readonly Counter<long> _storeReadBytes;
    private readonly Counter<long> _provisionedBytes;
    private readonly Counter<long> _reapedBlobs;
    private readonly Counter<long> _corruptBlocks;
    private readonly UpDownCounter<long> _uploadsActive;
    private readonly Histogram<double> _uploadSeconds;
    private readonly Histogram<double> _jobSeconds;
    private readonly Counter<long> _scrubFindings;
    private readonly Counter<long> _events;
    private readonly Counter<long> _memoryRefusals;
    private readonly Counter<long> _stalledClients;

    /// <summary>Makes the instruments.</summary>
    public RegistryMetrics(IMeterFactory meters)
    {
        _meter = meters.Create(Name);
        _uploads = _meter.CreateCounter<long>("registry.uploads", "{upload}", "Uploads by outcome");
        _uploadedBytes = _meter.CreateCounter<long>("registry.upload.bytes", "By", "Image bytes received");
        _uploadsActive = _meter.CreateUpDownCounter<long>("registry.uploads.active", "{upload}", "Uploads under way");
        _uploadSeconds = _meter.CreateHistogram<double>(
            "registry.upload.duration", "s", "Time from an upload's start to its outcome", advice: new()
            {
                HistogramBucketBoundaries = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800],
            });
        _jobSeconds = _meter.CreateHistogram<double>("registry.job.duration", "s", "Time an attempt at a job took");
        _scrubFindings = _meter.CreateCounter<long>("registry.scrub.findings", "{finding}", "Problems found by scrubs");
        _events = _meter.CreateCounter<long>("registry.events", "{event}", "Events by what became of them");
        _memoryRefusals = _meter.CreateCounter<long>(
            "registry.memory.refusals", "{request}", "Requests that found no memory for their buffers in time");
        _stalledClients = _meter.CreateCounter<long>(
            "registry.memory.stalled", "{client}",
            "Clients disconnected because they left bytes unread while requests waited for memory");
        _storeReadBytes = _meter.CreateCounter<long>("registry.store.read.bytes", "By", "Bytes read from stores");
        _provisionedBytes = _meter.CreateCounter<long>("registry.provision.bytes", "By", "Guest bytes sent to disks");
        _reapedBlobs = _meter.CreateCounter<long>("registry.reaper.blobs", "{blob}", "Leftover blobs removed");
        _corruptBlocks = _meter.CreateCounter<long>(
            "registry.store.corrupt", "{read}", "Reads that failed their digest");
    }

    /// <summary>An attempt at a job ended.</summary>
    /// <param name="kind">The kind of job.</param>
    /// <param name="outcome">succeeded, failed, retried, cancelled, stopped, lost.</param>
    /// <param name="elapsed">Since the attempt began.</param>
    public void JobEnded(string kind, string outcome, TimeSpan elapsed) => _jobSeconds.Record(
        elapsed.TotalSeconds,
        new KeyValuePair<string, object?>("kind", kind),
        new KeyValuePair<string, object?>("outcome", outcome));

    /// <summary>A scrub found something.</summary>
    /// <param name="problem">orphan, missing, damaged, unreadable.</param>
    /// <param name="count">How often.</param>
    public void Scrubbed(string problem, long count) =>
        _scrubFindings.Add(count, new KeyValuePair<string, object?>("problem", problem));

    /// <summary>Something became of events.</summary>
    /// <param name="outcome">delivered, postponed, dropped.</param>
    /// <param name="count">How many.</param>
    public void EventEnded(string outcome, long count) =>
        _events.Add(count, new KeyValuePair<string, object?>("outcome", outcome));

    /// <summary>An upload started.</summary>
    public void UploadStarted() => _uploadsActive.Add(1);

    /// <summary>An upload ended.</summary>
    /// <param name="outcome">active, rejected, fenced, failed.</param>
    /// <param name="bytes">Bytes received.</param>
    /// <param name="elapsed">Since its start.</param>
    public void UploadEnded(string outcome, long bytes, TimeSpan elapsed)
    {
        _uploadsActive.Add(-1);
        _uploads.Add(1, new KeyValuePair<string, object?>("outcome", outcome));
        _uploadedBytes.Add(bytes);
        _uploadSeconds.Record(elapsed.TotalSeconds);
    }

    /// <summary>Bytes were read from a store.</summary>
    public void StoreRead(long bytes) => _storeReadBytes.Add(bytes);

    /// <summary>Reads failed their digests.</summary>
    public void Corrupt(int reads = 1) => _corruptBlocks.Add(reads);

    /// <summary>Guest bytes were sent to a disk.</summary>
    public void Provisioned(long bytes) => _provisionedBytes.Add(bytes);

    /// <summary>Leftovers were removed.</summary>
    public void Reaped(long blobs) => _reapedBlobs.Add(blobs);

    /// <summary>A request found no memory for its buffers in time.</summary>
    public void MemoryRefused() => _memoryRefusals.Add(1);

    /// <summary>A client was disconnected because it did not take what it was sent.</summary>
    public void ClientStalled() => _stalledClients.Add(1);

    /// <summary>Reports from now on what the buffers of the process hold.</summary>
    /// <param name="budget">All of them.</param>
    /// <param name="parts">The parts that requests take from, by name.</param>
    /// <param name="waiting">How many requests wait.</param>
    public void WatchMemory(MemoryBudget budget, IReadOnlyDictionary<string, MemoryBudget> parts, Func<int> waiting)
    {
        _meter.CreateObservableUpDownCounter(
            "registry.memory.budget", () => budget.Bytes, "By", "Bytes that all buffers may hold together");
        _meter.CreateObservableUpDownCounter("registry.memory.taken", () => budget.Taken, "By", "Bytes that buffers hold");
        _meter.CreateObservableUpDownCounter(
            "registry.memory.part.taken",
            () => parts.Select(part => new Measurement<long>(
                part.Value.Taken, new KeyValuePair<string, object?>("part", part.Key))),
            "By",
            "Bytes that buffers of one kind of work hold");
        _meter.CreateObservableUpDownCounter(
            "registry.memory.waiting", waiting, "{request}", "Requests that wait for memory");
    }

    /// <summary>Tells what the cache does from now on.</summary>
    public void WatchCache(BlockCache cache)
    {
        _meter.CreateObservableUpDownCounter("registry.cache.bytes", () => cache.Bytes, "By", "Bytes in the cache");
        _meter.CreateObservableCounter(
            "registry.cache.read.bytes", () => cache.ServedBytes, "By", "Bytes read from the cache");
        _meter.CreateObservableCounter(
            "registry.cache.added.bytes", () => cache.AddedBytes, "By", "Bytes added to the cache");
        _meter.CreateObservableCounter(
            "registry.cache.dropped.bytes", () => cache.DroppedBytes, "By", "Bytes given up by the cache");
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();
}
