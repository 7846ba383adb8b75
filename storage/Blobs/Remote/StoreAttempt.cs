namespace Registry.Storage.Blobs.Remote;

/// <summary>One attempt at a request: ends by itself when the store falls silent.</summary>
internal sealed class StoreAttempt : IDisposable
{
    private readonly CancellationTokenSource _stop;
    private readonly StoreBudget _budget;

    public StoreAttempt(StoreBudget budget, CancellationToken cancellationToken)
    {
        _budget = budget;
        _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Progressed(0);
    }

    /// <summary>Fires when the caller cancels, the store is silent for too long, or time is up.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>Bytes went over the line, or an answer came.</summary>
    public void Progressed(int bytes)
    {
        _budget.Extend(bytes);
        _stop.CancelAfter(_budget.SilenceLeft);
    }

    public void Dispose() => _stop.Dispose();
}

/// <summary>The time that is left for one operation.</summary>
internal sealed class StoreBudget(StorePatience patience, TimeProvider time)
{
    private readonly long _started = time.GetTimestamp();
    private TimeSpan _granted = patience.Deadline;

    /// <summary>How long the store may be silent now; more than zero.</summary>
    public TimeSpan SilenceLeft
    {
        get
        {
            var left = Left;
            left = left < patience.Silence ? left : patience.Silence;
            return left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1);
        }
    }

    /// <summary>What is left.</summary>
    public TimeSpan Left => _granted - time.GetElapsedTime(_started);

    /// <summary>Bytes that flow earn time.</summary>
    public void Extend(int bytes) => _granted += TimeSpan.FromSeconds((double)bytes / StorePatience.BytesPerSecond);
}
