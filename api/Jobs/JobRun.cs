using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>One attempt at a job.</summary>
public sealed class JobRun(Job job)
{
    private volatile Box _progress = new(default);

    /// <summary>The job as it was handed out.</summary>
    public Job Job { get; } = job;

    /// <summary>Who promises what the job writes. The name is the same in each attempt, and unique among all others: a
    /// promise may outlive the lease on the job whose worker was killed, and the next attempt need not wait for its end.
    /// </summary>
    public IntentOwner Owner { get; } = new($"job {job.Id}", job.Lease);

    /// <summary>How far it is; recorded in the database whenever the lease is renewed.</summary>
    public JobProgress Progress
    {
        get => _progress.Value;
        set => _progress = new Box(value);
    }

    /// <summary>Whether somebody wants the job ended.</summary>
    public bool IsCancelRequested { get; internal set; } = job.IsCancelRequested;

    private sealed record Box(JobProgress Value);
}
