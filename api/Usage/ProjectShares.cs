namespace Registry.Api.Usage;

/// <summary>Divides an amount (places, bytes) among projects, so that none takes all there is.</summary>
/// <remarks>
/// A project that holds nothing may take whatever is free. One that holds some may take more only up to its maximum, and
/// never the last quarter: that is left for projects that hold nothing. Of those that wait, the project that holds least is
/// served first. Thread-safe.
/// </remarks>
/// <param name="max">The amount that there is.</param>
/// <param name="perProject">Maximum of one project; null where all callers are one project, which may have all.</param>
/// <param name="waitingPerProject">Maximum of one project's callers that wait.</param>
internal sealed class ProjectShares(long max, long? perProject, int waitingPerProject = 1024)
{
    private const int ReserveShare = 4;
    private const int WaitingProjects = 8; // as many as may have all their callers waiting

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (long Held, int Waiting)> _projects = new(StringComparer.Ordinal);
    private readonly LinkedList<Waiter> _waiters = [];
    private long _taken;

    /// <summary>Amount that is taken.</summary>
    public long Taken
    {
        get
        {
            lock (_lock)
            {
                return _taken;
            }
        }
    }

    /// <summary>Whether it is the project's own use that keeps it from taking more.</summary>
    /// <param name="projectId">The project; null for the registry itself.</param>
    /// <param name="amount">What it wants.</param>
    public bool IsOfProject(string? projectId, long amount = 1)
    {
        lock (_lock)
        {
            return _taken + amount <= max && !MayTake(projectId, amount);
        }
    }

    /// <summary>Counts those that wait.</summary>
    /// <param name="ofProjects">Receives, by project, how many wait for what the same project holds.</param>
    /// <returns>How many wait because all is taken.</returns>
    public int CountWaiting(IDictionary<string, int> ofProjects)
    {
        var ofAll = 0;
        lock (_lock)
        {
            foreach (var waiter in _waiters)
            {
                if (waiter.ProjectId is not { } project || _taken + waiter.Amount > max)
                {
                    ofAll++;
                }
                else
                {
                    ofProjects[project] = (ofProjects.TryGetValue(project, out var count) ? count : 0) + 1;
                }
            }
        }

        return ofAll;
    }

    /// <summary>Takes an amount; disposing the result gives it back.</summary>
    /// <param name="projectId">The project; null for the registry itself, which is not limited but by what there is.</param>
    /// <param name="amount">The amount, 1 or more; what exceeds the whole is not counted.</param>
    /// <returns>Null where there is none for this project.</returns>
    public IDisposable? TryTake(string? projectId, long amount = 1)
    {
        amount = Math.Min(amount, max);
        lock (_lock)
        {
            return MayTake(projectId, amount) ? Take(projectId, amount) : null;
        }
    }

    /// <summary>Takes an amount, and waits for it for a bounded time.</summary>
    /// <param name="projectId">The project; null for the registry itself.</param>
    /// <param name="amount">The amount, 1 or more; what exceeds the whole is not counted.</param>
    /// <param name="patience">How long to wait.</param>
    /// <param name="clock">The clock of the wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Null where none became free in time, or too many wait already.</returns>
    public async ValueTask<IDisposable?> TakeAsync(
        string? projectId, long amount, TimeSpan patience, TimeProvider clock, CancellationToken cancellationToken)
    {
        amount = Math.Min(amount, max);
        LinkedListNode<Waiter> waiter;
        lock (_lock)
        {
            var (held, waiting) = Of(projectId);
            if (waiting == 0 && MayTake(projectId, amount))
            {
                return Take(projectId, amount);
            }

            if (waiting >= waitingPerProject || _waiters.Count >= WaitingProjects * waitingPerProject)
            {
                return null;
            }

            Set(projectId, held, waiting + 1);
            waiter = _waiters.AddLast(new Waiter(projectId, amount));
        }

        try
        {
            return await waiter.Value.Granted.Task.WaitAsync(patience, clock, cancellationToken);
        }
        catch (TimeoutException)
        {
            return Withdraw(waiter) ? null : await waiter.Value.Granted.Task; // it came at the last moment
        }
        catch (OperationCanceledException)
        {
            if (!Withdraw(waiter))
            {
                (await waiter.Value.Granted.Task).Dispose();
            }

            throw;
        }
    }

    private bool MayTake(string? projectId, long amount)
    {
        if (_taken + amount > max)
        {
            return false;
        }

        var (held, _) = Of(projectId);
        return projectId is null || perProject is not { } most || held == 0
            || (held + amount <= most && _taken + amount <= max - (max / ReserveShare));
    }

    private Held Take(string? projectId, long amount)
    {
        _taken += amount;
        var (held, waiting) = Of(projectId);
        Set(projectId, held + amount, waiting);
        return new Held(this, projectId, amount);
    }

    private void Return(string? projectId, long amount)
    {
        lock (_lock)
        {
            _taken -= amount;
            var (held, waiting) = Of(projectId);
            Set(projectId, held - amount, waiting);
            Serve();
        }
    }

    // The project that holds least comes first; among its waiters, and among projects that hold as much, the oldest.
    private void Serve()
    {
        while (_waiters.Count > 0)
        {
            LinkedListNode<Waiter>? next = null;
            HashSet<string> seen = [];
            for (var node = _waiters.First; node is not null; node = node.Next)
            {
                var project = node.Value.ProjectId;
                if (seen.Add(project ?? "") && MayTake(project, node.Value.Amount)
                    && (next is null || Of(project).Held < Of(next.Value.ProjectId).Held))
                {
                    next = node;
                }
            }

            if (next is null)
            {
                return;
            }

            Leave(next);
            next.Value.Granted.SetResult(Take(next.Value.ProjectId, next.Value.Amount));
        }
    }

    // False when the waiter has been served.
    private bool Withdraw(LinkedListNode<Waiter> waiter)
    {
        lock (_lock)
        {
            if (waiter.List is null)
            {
                return false;
            }

            Leave(waiter);
            Serve(); // those after it may need less
            return true;
        }
    }

    private void Leave(LinkedListNode<Waiter> waiter)
    {
        _waiters.Remove(waiter);
        var (held, waiting) = Of(waiter.Value.ProjectId);
        Set(waiter.Value.ProjectId, held, waiting - 1);
    }

    private (long Held, int Waiting) Of(string? projectId) => _projects.GetValueOrDefault(projectId ?? "");

    // A project that has nothing is forgotten: there may be any number of projects.
    private void Set(string? projectId, long held, int waiting)
    {
        if (held == 0 && waiting == 0)
        {
            _projects.Remove(projectId ?? "");
        }
        else
        {
            _projects[projectId ?? ""] = (held, waiting);
        }
    }

    private sealed class Held(ProjectShares shares, string? projectId, long amount) : IDisposable
    {
        private bool _isReturned;

        public void Dispose()
        {
            if (!Interlocked.Exchange(ref _isReturned, true))
            {
                shares.Return(projectId, amount);
            }
        }
    }

    private sealed class Waiter(string? projectId, long amount)
    {
        public string? ProjectId { get; } = projectId;

        public long Amount { get; } = amount;

        public TaskCompletionSource<IDisposable> Granted { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
