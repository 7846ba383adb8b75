namespace Registry.Storage.Domain;

/// <summary>Where a job is in its life.</summary>
public enum JobStatus
{
    /// <summary>Waits for its time, or for a worker.</summary>
    Pending,

    /// <summary>A worker has the lease.</summary>
    Running,

    /// <summary>Done.</summary>
    Succeeded,

    /// <summary>Given up; it says why.</summary>
    Failed,

    /// <summary>Ended because somebody asked for it.</summary>
    Cancelled,
}

/// <summary>The names of the job statuses.</summary>
public static class JobStatuses
{
    /// <summary>The word for a job status.</summary>
    public static string Name(JobStatus status) => status switch
    {
        JobStatus.Pending => "pending",
        JobStatus.Running => "running",
        JobStatus.Succeeded => "succeeded",
        JobStatus.Failed => "failed",
        JobStatus.Cancelled => "cancelled",
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, "No such job status."),
    };

    /// <summary>Reads the word for a job status. Case-sensitive.</summary>
    public static bool TryParse(string? name, out JobStatus status)
    {
        (var known, status) = name switch
        {
            "pending" => (true, JobStatus.Pending),
            "running" => (true, JobStatus.Running),
            "succeeded" => (true, JobStatus.Succeeded),
            "failed" => (true, JobStatus.Failed),
            "cancelled" => (true, JobStatus.Cancelled),
            _ => (false, default),
        };
        return known;
    }

    /// <summary>Whether nothing happens to a job of this status any more.</summary>
    public static bool IsEnded(JobStatus status) =>
        status is JobStatus.Succeeded or JobStatus.Failed or JobStatus.Cancelled;

    /// <summary>Reads a name that we wrote ourselves.</summary>
    internal static JobStatus Parse(string name) =>
        TryParse(name, out var status) ? status : throw new KeyNotFoundException($"No job status '{name}'.");
}
