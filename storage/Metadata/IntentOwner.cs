using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Who writes the bytes that an intent promises: a process, or an attempt at a job.</summary>
/// <param name="Name">Name of the process, or of the job: the same in each of the job's attempts.</param>
/// <param name="Job">The attempt at the job; null for a process.</param>
public readonly record struct IntentOwner(string Name, JobLease? Job)
{
    /// <summary>A process of that name.</summary>
    public static implicit operator IntentOwner(string name) => FromString(name);

    /// <summary>A process of that name.</summary>
    public static IntentOwner FromString(string name) => new(name, Job: null);

    /// <summary>Rejects an attempt at a job that no longer holds the job, in the transaction of what it begins. The job's
    /// row stays as it is until the transaction ends, so no other attempt is handed out in between.</summary>
    /// <param name="db">The transaction.</param>
    /// <param name="now">The present, by the database's clock.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.Fenced"/>: its lease has run out, or the job has ended.
    /// </exception>
    internal async Task RequireHeldAsync(RegistryDb db, DateTimeOffset now, CancellationToken cancellationToken)
    {
        if (Job is not { } lease)
        {
            return;
        }

        var found = await DatabaseDialect.ShareJobAsync(db, lease.JobId, cancellationToken).ConfigureAwait(false);
        if (found is not { Status: JobStatus.Running } || found.Lease != lease || found.LeaseUntil < now)
        {
            throw new RegistryException(ErrorCode.Fenced, $"Attempt {lease.Attempt} no longer has job {lease.JobId}.");
        }
    }
}
