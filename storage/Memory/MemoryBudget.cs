namespace Registry.Storage.Memory;

/// <summary>The bytes of buffers that a process may hold, divided among everything that holds some.</summary>
/// <remarks>
/// A budget has parts, and a part may have parts again: what is taken from a part is taken from the whole as well, so that
/// the sum of all parts may exceed the whole, and no part can use up what another one is guaranteed. Waiters of one part
/// are served in order. Safe for concurrent use.
/// </remarks>
public sealed class MemoryBudget
{
    // Of a budget, this share is left for the next caller's minimum: optional buffers never take it.
    private const int HeadroomShare = 4;

    private readonly Lock _lock;
    private readonly MemoryBudget? _whole;
    private readonly LinkedList<Waiter> _waiters;
    private long _taken;

    /// <summary>Makes the budget of a process.</summary>
    /// <param name="bytes">Bytes to divide, 1 or more.</param>
    public MemoryBudget(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1);
        (Bytes, _lock, _waiters) = (bytes, new Lock(), []);
    }

    private MemoryBudget(MemoryBudget whole, long bytes)
    {
        (Bytes, _whole, _lock, _waiters) = (Math.Clamp(bytes, 1, whole.Bytes), whole, whole._lock, whole._waiters);
    }

    /// <summary>Bytes that may be taken.</summary>
    public long Bytes { get; }

    /// <summary>Bytes that are taken; more than <see cref="Bytes"/> where <see cref="Charge"/> was used.</summary>
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

    /// <summary>Callers that wait, of this budget and all of its relatives.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _waiters.Count;
            }
        }
    }

    /// <summary>Makes a part, which takes from this budget and has a maximum of its own.</summary>
    /// <param name="bytes">The part's maximum in bytes; no more than this budget's is used.</param>
    public MemoryBudget Part(long bytes) => new(this, bytes);

    /// <summary>Takes bytes that the caller can do without, such as those of a longer read-ahead.</summary>
    /// <param name="bytes">Bytes, 0 or more.</param>
    /// <returns>False where the last quarter would be needed, or others wait.</returns>
    public bool TryTake(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        lock (_lock)
        {
            if (_waiters.Count > 0 || !HasRoom(bytes, HeadroomShare))
            {
                return false;
            }

            Add(bytes);
            return true;
        }
    }

    /// <summary>Takes bytes that the caller needs, and waits for them where there are none.</summary>
    /// <param name="bytes">Bytes, 0 or more; no more than <see cref="Bytes"/> are taken.</param>
    /// <param name="patience">How long to wait.</param>
    /// <param name="time">The clock of the wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The bytes, returned on disposal; null when none became free in time.</returns>
    public async ValueTask<MemoryShare?> TakeAsync(
        long bytes, TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        bytes = Math.Min(bytes, Bytes);
        LinkedListNode<Waiter> waiter;
        lock (_lock)
        {
            if (HasRoom(bytes, headroomShare: 0) && !HasWaiters())
            {
                Add(bytes);
                return new MemoryShare(this, bytes);
            }

            waiter = _waiters.AddLast(new Waiter(this, bytes));
        }

        try
        {
            await waiter.Value.Granted.Task.WaitAsync(patience, time, cancellationToken).ConfigureAwait(false);
            return new MemoryShare(this, bytes);
        }
        catch (TimeoutException)
        {
            return Withdraw(waiter) ? null : new MemoryShare(this, bytes); // it came at the last moment
        }
        catch (OperationCanceledException)
        {
            if (!Withdraw(waiter))
            {
                Return(bytes);
            }

            throw;
        }
    }

    /// <summary>Counts bytes that are in use already, whether there is room or not.</summary>
    /// <param name="bytes">Bytes, 0 or more.</param>
    public void Charge(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        lock (_lock)
        {
            Add(bytes);
        }
    }

    /// <summary>Gives bytes back that were taken or charged.</summary>
    /// <param name="bytes">Bytes, 0 or more.</param>
    public void Return(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        lock (_lock)
        {
            Add(-bytes);
            ServeWaiters();
        }
    }

    private bool HasRoom(long bytes, int headroomShare)
    {
        for (var budget = this; budget is not null; budget = budget._whole)
        {
            var kept = headroomShare == 0 ? 0 : budget.Bytes / headroomShare;
            if (budget._taken + bytes > budget.Bytes - kept)
            {
                return false;
            }
        }

        return true;
    }

    private bool HasWaiters()
    {
        foreach (var waiter in _waiters)
        {
            if (waiter.Budget == this)
            {
                return true;
            }
        }

        return false;
    }

    private void Add(long bytes)
    {
        for (var budget = this; budget is not null; budget = budget._whole)
        {
            budget._taken += bytes;
        }
    }

    // A part without room lets the waiters of others pass, but none of its own.
    private void ServeWaiters()
    {
        if (_waiters.Count == 0)
        {
            return;
        }

        HashSet<MemoryBudget> full = [];
        for (var node = _waiters.First; node is not null;)
        {
            var next = node.Next;
            var (budget, bytes) = (node.Value.Budget, node.Value.Bytes);
            if (!full.Contains(budget) && budget.HasRoom(bytes, headroomShare: 0))
            {
                budget.Add(bytes);
                _waiters.Remove(node);
                node.Value.Granted.SetResult();
            }
            else
            {
                full.Add(budget);
            }

            node = next;
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

            _waiters.Remove(waiter);
            ServeWaiters(); // those after it may need less
            return true;
        }
    }

    private sealed class Waiter(MemoryBudget budget, long bytes)
    {
        public MemoryBudget Budget { get; } = budget;

        public long Bytes { get; } = bytes;

        public TaskCompletionSource Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
