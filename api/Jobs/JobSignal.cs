namespace Registry.Api.Jobs;

/// <summary>Wakes this process's workers when it asked for a job itself; jobs of other replicas are found by looking.
/// </summary>
public sealed class JobSignal : IDisposable
{
    private readonly SemaphoreSlim _pending = new(0, 1);

    /// <summary>There is a new job.</summary>
    public void Set()
    {
        try
        {
            _pending.Release();
        }
        catch (SemaphoreFullException)
        {
            // A worker is being woken already, and takes all there is.
        }
    }

    /// <summary>Waits for a new job, but not for ever.</summary>
    public Task WaitAsync(TimeSpan timeout, CancellationToken cancellationToken) =>
        _pending.WaitAsync(timeout, cancellationToken);

    /// <inheritdoc/>
    public void Dispose() => _pending.Dispose();
}
