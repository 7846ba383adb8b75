namespace Registry.Api.Jobs;

/// <summary>Divides the workers of a process among projects.</summary>
/// <remarks>
/// A project without a running job may have any free worker. One that has some may have another only while fewer than
/// half of the workers are busy, and only up to its maximum: however many jobs a few projects ask for, and however long these
/// take, workers are left for the first job of others. Thread-safe.
/// </remarks>
/// <param name="workers">Workers, 1 or more.</param>
/// <param name="perProject">Maximum of a project, 1 or more.</param>
internal sealed class JobShares(int workers, int perProject)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _running = new(StringComparer.Ordinal);
    private readonly Stack<int> _free = new(Enumerable.Range(1, workers).Reverse());

    /// <summary>Projects that may not have another job now; the registry itself is the empty text.</summary>
    public IReadOnlyCollection<string> Full
    {
        get
        {
            lock (_lock)
            {
                var isHalfBusy = 2 * _running.Values.Sum() >= workers;
                return [.. _running.Where(project => isHalfBusy || project.Value >= perProject).Select(p => p.Key)];
            }
        }
    }

    /// <summary>Takes a free worker.</summary>
    /// <returns>Its number, from 1; null where all are busy.</returns>
    public int? TryTake()
    {
        lock (_lock)
        {
            return _free.TryPop(out var worker) ? worker : null;
        }
    }

    /// <summary>Counts the job that a worker has got.</summary>
    /// <param name="owner">The job's project; null for the registry itself.</param>
    public void Begin(string? owner)
    {
        lock (_lock)
        {
            _running[owner ?? ""] = _running.GetValueOrDefault(owner ?? "") + 1;
        }
    }

    /// <summary>Counts the job no longer.</summary>
    /// <param name="owner">The job's project; null for the registry itself.</param>
    public void End(string? owner)
    {
        lock (_lock)
        {
            if (--_running[owner ?? ""] == 0)
            {
                _running.Remove(owner ?? "");
            }
        }
    }

    /// <summary>Gives a worker back.</summary>
    /// <param name="worker">From <see cref="TryTake"/>.</param>
    public void Return(int worker)
    {
        lock (_lock)
        {
            _free.Push(worker);
        }
    }
}
