namespace Registry.Storage.Jobs;

/// <summary>What a worker learns when it renews a lease.</summary>
public enum LeaseState
{
    /// <summary>The job is still the worker's.</summary>
    Held,

    /// <summary>The job is still the worker's, and somebody wants it ended.</summary>
    CancelRequested,

    /// <summary>The job is somebody else's, or has ended: stop, whatever is done now is void.</summary>
    Lost,
}
