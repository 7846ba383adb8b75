namespace Registry.Api.Jobs;

/// <summary>Wakes this process's dispatchers when it asked for a job itself; jobs of other replicas are found by looking.
/// </summary>
/// <remarks>Thread-safe. Every waiter is woken: which of them can take the job is theirs to find out.</remarks>
public sealed class JobSignal
{
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends at the next <see cref="Set"/>. Read it before looking for jobs, so that none is missed.</summary>
    public Task Next => Volatile.Read(ref _next).Task;

    /// <summary>Reports a new job.</summary>
    public void Set() => Interlocked.Exchange(
        ref _next, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
}
