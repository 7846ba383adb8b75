using Microsoft.Extensions.Options;
using Registry.Api.Metrics;
using Registry.Api.Usage;
using Registry.Storage.Domain;
using Registry.Storage.Memory;

namespace Registry.Api.Memory;

/// <summary>The process's one memory budget, and the parts of it that the kinds of requests have.</summary>
/// <remarks>
/// <code>
/// requests  1/4 of the whole, beside it: lists, JSON bodies, gRPC messages
/// whole ─┬─ (connections: charged as they receive and send, whether there is room or not)
///        └─ transfers  3/4 ─┬─ uploads    1/2 of the whole
///                           ├─ downloads  1/2
///                           ├─ disks      1/2   views, extents, provisions, NBD reads
///                           └─ exports    1/4   NBD connections
/// </code>
/// The parts overlap: whatever is busy may use what the others leave. Requests that carry no image data have memory of
/// their own, so that lists are answered while every transfer waits and connections hold more than the last quarter. Of
/// each part, a project holds at most half while others may want some.
/// </remarks>
public sealed class ProcessMemory
{
    /// <summary>Reason code of a request that found no memory in time.</summary>
    public const string Reason = "memory_short";

    // What the runtime and the libraries hold when nothing is under way.
    private const long ProcessBytes = 64L << 20;
    private const long BudgetLeast = 32L << 20;

    // One project may hold half of a part.
    private const int ProjectShare = 2;

    private readonly Dictionary<MemoryBudget, ProjectShares> _shares;
    private readonly TimeSpan _wait;
    private readonly TimeProvider _clock;
    private readonly RegistryMetrics? _metrics;
    private int _waiting;

    /// <summary>Divides the memory of the machine or of the container, and reports what becomes of it.</summary>
    public ProcessMemory(IOptions<RegistryOptions> options, TimeProvider clock, RegistryMetrics metrics)
        : this(options.Value.Memory, clock, options.Value.HasProjects, metrics) => metrics.WatchMemory(
            Whole,
            new Dictionary<string, MemoryBudget>
            {
                ["requests"] = Requests, ["uploads"] = Uploads, ["downloads"] = Downloads, ["disks"] = Disks,
                ["exports"] = Exports,
            },
            () => Waiting);

    /// <summary>Divides the memory of the machine or of the container.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="clock">The clock of waits.</param>
    /// <param name="hasProjects">Whether callers differ; otherwise one may have all.</param>
    /// <param name="metrics">Counts what is refused; null for none.</param>
    public ProcessMemory(
        MemorySection settings, TimeProvider clock, bool hasProjects = false, RegistryMetrics? metrics = null)
    {
        (_wait, _clock, _metrics) = (settings.Wait, clock, metrics);
        Stalled = new StalledClients(settings.Stalled, clock, CountWaiting, metrics);
        Whole = new MemoryBudget(
            settings.BudgetBytes > 0 ? settings.BudgetBytes : BudgetOf(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes));
        var transfers = Whole.Part(Whole.Bytes / 4 * 3);
        Uploads = transfers.Part(Whole.Bytes / 2);
        Downloads = transfers.Part(Whole.Bytes / 2);
        Disks = transfers.Part(Whole.Bytes / 2);
        Exports = transfers.Part(Whole.Bytes / 4);
        Requests = new MemoryBudget(Whole.Bytes / 4);
        _shares = new[] { Requests, Uploads, Downloads, Disks, Exports }.ToDictionary(
            part => part,
            part => new ProjectShares(part.Bytes, hasProjects ? part.Bytes / ProjectShare : null));
    }

    /// <summary>All buffers of connections and of image data.</summary>
    public MemoryBudget Whole { get; }

    /// <summary>What lists, JSON bodies and gRPC messages hold.</summary>
    public MemoryBudget Requests { get; }

    /// <summary>Buffers of uploads, imports and copies.</summary>
    public MemoryBudget Uploads { get; }

    /// <summary>Buffers of downloads.</summary>
    public MemoryBudget Downloads { get; }

    /// <summary>Buffers of disks that are read.</summary>
    public MemoryBudget Disks { get; }

    /// <summary>Buffers of NBD connections.</summary>
    public MemoryBudget Exports { get; }

    /// <summary>Requests and jobs that wait for memory.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Clients that do not take what they are sent.</summary>
    internal StalledClients Stalled { get; }

    /// <summary>The budget of a process.</summary>
    /// <param name="availableBytes">What the collector may use at most: three fifths of the memory of the container, or of the
    /// machine (System.GC.HeapHardLimitPercent in the project file).</param>
    /// <remarks>Half, because a collector needs room to work in, and because what a buffer carries is copied at the edges
    /// of the runtime.</remarks>
    public static long BudgetOf(long availableBytes) => Math.Max(BudgetLeast, (availableBytes - ProcessBytes) / 2);

    /// <summary>Takes the memory of a request or a job, and waits for it for a bounded time.</summary>
    /// <param name="part">The part it is taken from.</param>
    /// <param name="projectId">The project that it is taken for, which leaves some to others; null for the registry
    /// itself.</param>
    /// <param name="bytes">Bytes; what exceeds the part is not counted.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="RegistryException">Busy: none became free in time.</exception>
    public async ValueTask<MemoryShare> TakeAsync(
        MemoryBudget part, string? projectId, long bytes, CancellationToken cancellationToken)
    {
        var started = _clock.GetTimestamp();
        IDisposable? held = null;
        Interlocked.Increment(ref _waiting);
        try
        {
            held = projectId is null
                ? null
                : await _shares[part].TakeAsync(projectId, bytes, _wait, _clock, cancellationToken) ?? throw Short();
            var left = _wait - _clock.GetElapsedTime(started);
            var share = await part.TakeAsync(
                bytes, left > TimeSpan.Zero ? left : TimeSpan.Zero, _clock, cancellationToken) ?? throw Short();
            share.Attach(held);
            return share;
        }
        catch
        {
            held?.Dispose();
            throw;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    /// <summary>Takes the memory of the registry's own work, and waits for it for a bounded time.</summary>
    /// <inheritdoc cref="TakeAsync(MemoryBudget, string?, long, CancellationToken)"/>
    public ValueTask<MemoryShare> TakeAsync(MemoryBudget part, long bytes, CancellationToken cancellationToken) =>
        TakeAsync(part, projectId: null, bytes, cancellationToken);

    // For what clients can hold unread: not those that wait for the memory of requests. Those that wait in the budget itself
    // have their project's part already.
    private int CountWaiting(IDictionary<string, int> ofProjects) =>
        Whole.Waiting + _shares.Where(part => part.Key != Requests).Sum(part => part.Value.CountWaiting(ofProjects));

    private RegistryException Short()
    {
        _metrics?.MemoryRefused();
        return new RegistryException(
            ErrorCode.Busy, "The server has no memory left for this request; try again later.", Reason);
    }
}
