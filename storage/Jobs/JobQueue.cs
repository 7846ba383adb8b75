using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Storage.Jobs;

/// <summary>Hands jobs to workers, one at a time each, and takes their word only while they hold the lease.</summary>
/// <remarks>
/// One statement each; expiry is judged by the database's clock. A worker that disappears loses its job when the lease
/// runs out, and another gets it under the next attempt, which fences the first: every write names owner and attempt.
/// A lost COMMIT answer costs at most an attempt, never a job: work is done at least once, and made so that twice is no
/// different from once.
/// </remarks>
public sealed class JobQueue(
    IDbContextFactory<RegistryDb> databases, TimeProvider time, EventSelection? events = null)
{
    /// <summary>Code of the failure of a job whose workers kept disappearing.</summary>
    public const string AttemptsExhausted = "attempts_exhausted";

    /// <summary>Asks for a job.</summary>
    /// <returns>The new job; where one of the same key is pending or running, that one.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// </exception>
    public async Task<Job> EnqueueAsync(JobOrder order, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(order);
        ArgumentOutOfRangeException.ThrowIfLessThan(order.AttemptsMax, 1);
        Guid? id = null;
        while (true)
        {
            try
            {
                return await WriteTransaction.RunAsync(databases, AddAsync, cancellationToken).ConfigureAwait(false);
            }
            catch (DbUpdateException exception) when (DatabaseDialect.IsUniqueViolation(exception))
            {
                // Somebody else asked for the same at the same time: find theirs.
            }
        }

        async Task<Job> AddAsync(RegistryDb db, int attempt)
        {
            var existing = await db.Jobs.AsNoTracking().FirstOrDefaultAsync(
                j => j.Id == id || (order.UniqueKey != null && j.UniqueKey == order.UniqueKey && j.EndedAt == null),
                cancellationToken).ConfigureAwait(false);
            if (existing is not null)
            {
                return existing;
            }

            var job = new Job(order, await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false));
            db.Jobs.Add(job);
            await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
            id = job.Id;
            return job;
        }
    }

    /// <summary>Gives a worker a job that is due: of the project that has the fewest running; of several such, of the one
    /// that got a worker longest ago; of its jobs, the one that has waited longest.</summary>
    /// <remarks>One that has more attempts than it may have is to be given up: those who had it went away, each
    /// time.</remarks>
    /// <param name="kinds">The kinds that the worker can do; projects share them.</param>
    /// <param name="exceptProjects">Projects whose jobs are left alone; the empty text is the registry itself.</param>
    /// <param name="owner">The worker, unique among all that ever ran; it has at most one job at a time.</param>
    /// <param name="lease">How long the job is the worker's without renewal.</param>
    /// <param name="cancellationToken">Cancels; not any more once the commit has begun.</param>
    /// <returns>Null when nothing is due.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown; a job
    /// that was handed out comes back when its lease runs out.</exception>
    public Task<Job?> LeaseAsync(
        IReadOnlyCollection<string> kinds,
        IReadOnlyCollection<string> exceptProjects,
        string owner,
        TimeSpan lease,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(kinds);
        ArgumentNullException.ThrowIfNull(exceptProjects);
        return TakeAsync(
            db => JobClaim.Next(db, kinds.Count, exceptProjects.Count), [.. kinds, .. exceptProjects], owner, lease,
            cancellationToken);
    }

    /// <summary>Gives a worker a job that is due, of any project.</summary>
    /// <inheritdoc cref="LeaseAsync(IReadOnlyCollection{string}, IReadOnlyCollection{string}, string, TimeSpan, CancellationToken)"/>
    public Task<Job?> LeaseAsync(
        IReadOnlyCollection<string> kinds, string owner, TimeSpan lease, CancellationToken cancellationToken) =>
        LeaseAsync(kinds, exceptProjects: [], owner, lease, cancellationToken);

    /// <summary>Gives a worker a certain job, due or not, if nobody has it.</summary>
    /// <returns>Null when it has ended, somebody has it, or there is none.</returns>
    /// <inheritdoc cref="LeaseAsync(IReadOnlyCollection{string}, IReadOnlyCollection{string}, string, TimeSpan, CancellationToken)"/>
    public Task<Job?> LeaseAsync(Guid id, string owner, TimeSpan lease, CancellationToken cancellationToken) =>
        TakeAsync(JobClaim.Certain, [id], owner, lease, cancellationToken);

    /// <summary>Extends a lease from now on, and records how far the work is.</summary>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: unknown; try again before the
    /// lease runs out.</exception>
    public Task<LeaseState> RenewAsync(
        JobLease lease, TimeSpan duration, JobProgress progress, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                DateTimeOffset? until = Timestamps.Stored(now + duration);
                var renewed = await Held(db, lease).ExecuteUpdateAsync(
                    set => set.SetProperty(j => j.LeaseUntil, until)
                        .SetProperty(j => j.Step, progress.Step)
                        .SetProperty(j => j.Done, progress.Done)
                        .SetProperty(j => j.Total, progress.Total)
                        .SetProperty(j => j.UpdatedAt, Timestamps.Stored(now)),
                    cancellationToken).ConfigureAwait(false);
                return renewed == 0
                    ? LeaseState.Lost
                    : await Held(db, lease).AnyAsync(j => j.IsCancelRequested, cancellationToken).ConfigureAwait(false)
                        ? LeaseState.CancelRequested
                        : LeaseState.Held;
            },
            cancellationToken);

    /// <summary>Ends a job well.</summary>
    /// <param name="lease">The worker's right to it.</param>
    /// <param name="progress">How far it got.</param>
    /// <param name="result">What it came to, JSON.</param>
    /// <param name="cancellationToken">Cancels; not any more once the commit has begun.</param>
    /// <returns>False when the job was not the worker's any more.</returns>
    public Task<bool> CompleteAsync(
        JobLease lease, JobProgress progress, string? result, CancellationToken cancellationToken) =>
        EndAsync(lease, JobStatus.Succeeded, progress, result, code: null, message: null, cancellationToken);

    /// <summary>Ends a job because somebody asked for it.</summary>
    /// <inheritdoc cref="CompleteAsync"/>
    public Task<bool> CancelledAsync(JobLease lease, JobProgress progress, CancellationToken cancellationToken) =>
        EndAsync(
            lease, JobStatus.Cancelled, progress, result: null, "cancelled", "It was cancelled.", cancellationToken);

    /// <summary>Ends an attempt that failed.</summary>
    /// <param name="lease">The worker's right to the job.</param>
    /// <param name="code">Why, a stable word.</param>
    /// <param name="message">Why, a sentence for the owner, without secrets.</param>
    /// <param name="retryIn">When to try again; null gives it up.</param>
    /// <param name="cancellationToken">Cancels; not any more once the commit has begun.</param>
    /// <returns>False when the job was not the worker's any more.</returns>
    public Task<bool> FailAsync(
        JobLease lease, string code, string message, TimeSpan? retryIn, CancellationToken cancellationToken) =>
        retryIn is { } delay
            ? PutBackAsync(lease, delay, code, message, countsAttempt: true, cancellationToken)
            : EndAsync(lease, JobStatus.Failed, progress: null, result: null, code, message, cancellationToken);

    /// <summary>Puts a job back for later: one that comes back for ever, or one whose worker stops in good order.
    /// </summary>
    /// <param name="lease">The worker's right to the job.</param>
    /// <param name="delay">When to begin it again.</param>
    /// <param name="cancellationToken">Cancels; not any more once the commit has begun.</param>
    /// <returns>False when the job was not the worker's any more.</returns>
    public Task<bool> RescheduleAsync(JobLease lease, TimeSpan delay, CancellationToken cancellationToken) =>
        PutBackAsync(lease, delay, code: null, message: null, countsAttempt: false, cancellationToken);

    /// <summary>Wants a job ended: its worker hears of it when it renews the lease, and the next one when it gets the job,
    /// which is due at once.</summary>
    /// <returns>False when there is no such job, or it has ended.</returns>
    public Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = Timestamps.Stored(
                    await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false));
                return await db.Jobs.Where(j => j.Id == id && j.EndedAt == null).ExecuteUpdateAsync(
                    set => set.SetProperty(j => j.IsCancelRequested, true)
                        .SetProperty(j => j.RunAfter, j => j.Status == JobStatus.Pending ? now : j.RunAfter)
                        .SetProperty(j => j.UpdatedAt, now),
                    cancellationToken).ConfigureAwait(false) == 1;
            },
            cancellationToken);

    /// <summary>Takes the jobs of processes that are gone away from them, for the start of a process that knows itself to
    /// be the only one.</summary>
    public Task<int> ReclaimAsync(CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                // Put back by a process whose clock was ahead: what it said to wait for is long past.
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var due = Timestamps.Stored(now);
                await db.Jobs.Where(j => j.Status == JobStatus.Pending && j.UpdatedAt > due)
                    .ExecuteUpdateAsync(
                        set => set.SetProperty(j => j.RunAfter, due).SetProperty(j => j.UpdatedAt, due), cancellationToken)
                    .ConfigureAwait(false);
                DateTimeOffset? past = DateTimeOffset.UnixEpoch;
                return await db.Jobs.Where(j => j.Status == JobStatus.Running)
                    .ExecuteUpdateAsync(set => set.SetProperty(j => j.LeaseUntil, past), cancellationToken)
                    .ConfigureAwait(false);
            },
            cancellationToken);

    /// <summary>Forgets jobs that ended long ago.</summary>
    /// <returns>How many.</returns>
    public Task<int> PurgeAsync(TimeSpan age, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var limit = Timestamps.Stored(now - age);
                return await db.Jobs.Where(j => j.EndedAt < limit).ExecuteDeleteAsync(cancellationToken)
                    .ConfigureAwait(false);
            },
            cancellationToken);

    private static IQueryable<Job> Held(RegistryDb db, JobLease lease) => db.Jobs.Where(j =>
        j.Id == lease.JobId && j.Status == JobStatus.Running && j.LeaseOwner == lease.Owner
        && j.Attempt == lease.Attempt);

    private Task<Job?> TakeAsync(
        Func<RegistryDb, string> statement,
        IReadOnlyList<object> arguments,
        string owner,
        TimeSpan lease,
        CancellationToken cancellationToken)
    {
        var leases = new List<DateTimeOffset?>(); // what earlier attempts of this call may have taken a job under
        return WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                var now = Timestamps.Stored(
                    await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false));
                var until = Timestamps.Stored(now + lease);
                var earlier = leases.ToArray();
                leases.Add(until);
                return (earlier.Length > 0
                        ? await ResumeAsync(db, earlier, owner, now, until, cancellationToken).ConfigureAwait(false)
                        : null)
                    ?? await TakeAsync(db, statement(db), arguments, owner, now, until, cancellationToken).ConfigureAwait(false);
            },
            cancellationToken);
    }

    // The attempt before may have gone through, with only its answer lost. The job is this worker's only while its lease
    // is valid, which is renewed in the same transaction: one whose lease has run out may be another's next.
    private static async Task<Job?> ResumeAsync(
        RegistryDb db,
        DateTimeOffset?[] leases,
        string owner,
        DateTimeOffset now,
        DateTimeOffset? until,
        CancellationToken cancellationToken)
    {
        var mine = db.Jobs.Where(j => j.Status == JobStatus.Running && j.LeaseOwner == owner);
        var renewed = await mine.Where(j => leases.Contains(j.LeaseUntil) && j.LeaseUntil >= now)
            .ExecuteUpdateAsync(set => set.SetProperty(j => j.LeaseUntil, until), cancellationToken).ConfigureAwait(false);
        return renewed == 0
            ? null
            : await mine.AsNoTracking().FirstAsync(j => j.LeaseUntil == until, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Job?> TakeAsync(
        RegistryDb db,
        string statement,
        IReadOnlyList<object> arguments,
        string owner,
        DateTimeOffset now,
        DateTimeOffset until,
        CancellationToken cancellationToken)
    {
        object[] parameters =
            [DatabaseDialect.Parameter(db, now), DatabaseDialect.Parameter(db, until), owner, .. arguments];
        var taken = await db.Jobs.FromSqlRaw(statement, parameters).AsNoTracking()
            .ToListAsync(cancellationToken).ConfigureAwait(false);
        if (taken is [{ Attempt: 1, IsCancelRequested: false } first])
        {
            await NoteAsync(db, first.Id, now, ["task.run", "task.processing"], cancellationToken).ConfigureAwait(false);
        }

        return taken.SingleOrDefault();
    }

    // In the transaction of what happened.
    private async Task NoteAsync(
        RegistryDb db, Guid id, DateTimeOffset now, IReadOnlyList<string> types, CancellationToken cancellationToken)
    {
        if (events is null || !types.Any(events.Wants))
        {
            return;
        }

        var job = await db.Jobs.AsNoTracking().SingleAsync(j => j.Id == id, cancellationToken).ConfigureAwait(false);
        db.Events.AddRange(TaskEvents.Of(events, job, now, types));
        await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
    }

    private Task<bool> PutBackAsync(
        JobLease lease,
        TimeSpan delay,
        string? code,
        string? message,
        bool countsAttempt,
        CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                var after = Timestamps.Stored(now + delay);
                var put = await Held(db, lease).ExecuteUpdateAsync(
                    set => set.SetProperty(j => j.Status, JobStatus.Pending)
                        .SetProperty(j => j.RunAfter, after)
                        .SetProperty(j => j.LeaseOwner, (string?)null)
                        .SetProperty(j => j.LeaseUntil, (DateTimeOffset?)null)
                        .SetProperty(j => j.AttemptsMax, j => countsAttempt || j.AttemptsMax == JobOrder.Unlimited ? j.AttemptsMax : j.AttemptsMax + 1)
                        .SetProperty(j => j.FailureCode, code)
                        .SetProperty(j => j.Message, message)
                        .SetProperty(j => j.UpdatedAt, Timestamps.Stored(now)),
                    cancellationToken).ConfigureAwait(false);
                return put == 1 || (attempt > 1 && await IsPutBackAsync(db, lease, cancellationToken)
                    .ConfigureAwait(false));
            },
            cancellationToken);

    private Task<bool> EndAsync(
        JobLease lease,
        JobStatus status,
        JobProgress? progress,
        string? result,
        string? code,
        string? message,
        CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, attempt) =>
            {
                var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                DateTimeOffset? ended = Timestamps.Stored(now);
                var ends = await Held(db, lease).ExecuteUpdateAsync(
                    set => set.SetProperty(j => j.Status, status)
                        .SetProperty(j => j.Step, j => progress == null ? j.Step : progress.Value.Step)
                        .SetProperty(j => j.Done, j => progress == null ? j.Done : progress.Value.Done)
                        .SetProperty(j => j.Total, j => progress == null ? j.Total : progress.Value.Total)
                        .SetProperty(j => j.LeaseUntil, (DateTimeOffset?)null)
                        .SetProperty(j => j.Result, result)
                        .SetProperty(j => j.FailureCode, code)
                        .SetProperty(j => j.Message, message)
                        .SetProperty(j => j.Secret, (string?)null)
                        .SetProperty(j => j.EndedAt, ended)
                        .SetProperty(j => j.UpdatedAt, ended!.Value),
                    cancellationToken).ConfigureAwait(false);
                if (ends == 1)
                {
                    var type = status == JobStatus.Succeeded ? "task.success" : "task.failure";
                    await NoteAsync(db, lease.JobId, now, [type], cancellationToken).ConfigureAwait(false);
                }

                // The second attempt of a commit whose answer was lost finds the job ended, by this very attempt.
                return ends == 1 || (attempt > 1 && await db.Jobs.AnyAsync(
                    j => j.Id == lease.JobId && j.Attempt == lease.Attempt && j.LeaseOwner == lease.Owner
                        && j.Status == status,
                    cancellationToken).ConfigureAwait(false));
            },
            cancellationToken);

    private static Task<bool> IsPutBackAsync(RegistryDb db, JobLease lease, CancellationToken cancellationToken) =>
        db.Jobs.AnyAsync(
            j => j.Id == lease.JobId && j.Attempt == lease.Attempt && j.Status == JobStatus.Pending, cancellationToken);
}
