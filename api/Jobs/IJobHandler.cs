using Registry.Storage.Domain;

namespace Registry.Api.Jobs;

/// <summary>Does one kind of job.</summary>
/// <remarks>A job may be begun again at any time, by this process or another: what is done twice must be no different
/// from what is done once.</remarks>
public interface IJobHandler
{
    /// <summary>The kind of job, a stable word.</summary>
    string Kind { get; }

    /// <summary>How long to wait before a job of this kind begins anew; null for jobs that end.</summary>
    TimeSpan? Interval => null;

    /// <summary>Whether a worker does nothing but jobs of this kind: the registry's own work, which projects' jobs never
    /// wait for and which never waits for them.</summary>
    bool HasOwnWorker => Interval is not null;

    /// <summary>The jobs of this kind that are always there; none for jobs that end.</summary>
    IEnumerable<JobOrder> Standing => [];

    /// <summary>Does a job.</summary>
    /// <param name="run">The job, and where to report how far it is.</param>
    /// <param name="cancellationToken">Fires when the job is cancelled, when it is not this process's any more, and when
    /// the process stops.</param>
    /// <returns>What it came to, JSON; null for nothing to tell.</returns>
    /// <exception cref="RegistryException">It cannot be done; the code decides whether it is tried again.</exception>
    Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken);

    /// <summary>Looks whether an earlier attempt has done the job, whose worker went away before it could report so.
    /// Called after <see cref="GiveUpAsync"/>, before the job ends without success.</summary>
    /// <param name="job">The job.</param>
    /// <returns>What it came to; null when it is not done.</returns>
    Task<DoneJob?> FindDoneAsync(Job job) => Task.FromResult<DoneJob?>(null);

    /// <summary>Fences off what earlier attempts may still be writing and cleans up, before a job of this kind ends without
    /// success and while it is still this process's. Leaves a job alone that is done. One that throws is repeated a few
    /// times; the job ends then, however it went.</summary>
    /// <param name="job">The job.</param>
    /// <param name="code">Why, a stable word.</param>
    /// <param name="message">Why, a sentence for the owner.</param>
    Task GiveUpAsync(Job job, string code, string message) => Task.CompletedTask;
}

/// <summary>A job that has been done.</summary>
/// <param name="Result">What it came to, JSON; null for nothing to report.</param>
public sealed record DoneJob(string? Result);
