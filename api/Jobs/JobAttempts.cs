using Microsoft.Extensions.Options;
using Registry.Api.Errors;
using Registry.Api.Metrics;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>Attempts at jobs: each under the lease that was handed out with it, until it has ended, is put back, or is
/// somebody else's.</summary>
internal sealed partial class JobAttempts(
    JobQueue queue,
    IEnumerable<IJobHandler> handlers,
    RegistryMetrics metrics,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<JobAttempts> logger)
{
    /// <summary>How often a job that has had all its attempts is handed out once more for the clean-up to be repeated.
    /// </summary>
    internal const int GiveUpsMax = 3;

    private static readonly TimeSpan BackOffMax = TimeSpan.FromMinutes(5);

    private readonly Dictionary<string, IJobHandler> _handlers = handlers.ToDictionary(h => h.Kind);
    private readonly JobsSection _options = options.Value.Jobs;

    /// <summary>Makes an attempt at a job, and records how it ended.</summary>
    /// <param name="job">As it was handed out; cancelled ones, and those that have had all their attempts, are given
    /// up.</param>
    /// <param name="stoppingToken">Fires when the process stops: the job is put back.</param>
    public async Task RunAsync(Job job, CancellationToken stoppingToken)
    {
        using var span = RegistryMetrics.Traces.StartActivity("job");
        span?.SetTag("job.kind", job.Kind);
        span?.SetTag("job.id", job.Id);
        var run = new JobRun(job);
        var started = clock.GetTimestamp();
        using var cancelled = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        var outcome = "lost";
        await using (var lease = new HeldLease(
            token => RenewAsync(run, cancelled, token), _options.Lease, clock, cancelled.Token))
        {
            try
            {
                if (run.IsCancelRequested)
                {
                    throw new OperationCanceledException();
                }

                var result = job.Attempt > job.AttemptsMax
                    ? throw new RegistryException(
                        ErrorCode.Gone, "The servers that worked on it went away, each time.", JobQueue.AttemptsExhausted)
                    : await _handlers[job.Kind].RunAsync(run, lease.Token);
                outcome = await EndAsync(run, result);
            }
            catch (Exception e)
            {
                outcome = lease.IsLost ? "lost" : await FailAsync(run, e, stoppingToken);
            }
        }

        var elapsed = clock.GetElapsedTime(started);
        metrics.JobEnded(job.Kind, outcome, elapsed);
        if (_handlers[job.Kind].Interval is null || outcome is not "succeeded")
        {
            Log.Ended(logger, job.Kind, job.Id, job.Attempt, outcome, (long)elapsed.TotalMilliseconds);
        }
    }

    private async Task<bool> RenewAsync(JobRun run, CancellationTokenSource cancelled, CancellationToken token)
    {
        var state = await queue.RenewAsync(run.Job.Lease, _options.Lease, run.Progress, token);
        if (state == LeaseState.CancelRequested)
        {
            run.IsCancelRequested = true;
            await cancelled.CancelAsync();
        }

        return state != LeaseState.Lost;
    }

    private async Task<string> EndAsync(JobRun run, string? result)
    {
        var isHeld = _handlers[run.Job.Kind].Interval is { } interval
            ? await queue.RescheduleAsync(run.Job.Lease, interval, CancellationToken.None)
            : await queue.CompleteAsync(run.Job.Lease, run.Progress, result, CancellationToken.None);
        return isHeld ? "succeeded" : "lost";
    }

    private async Task<string> FailAsync(JobRun run, Exception cause, CancellationToken stoppingToken)
    {
        var job = run.Job;
        if (run.IsCancelRequested)
        {
            return await GiveUpAsync(run, "cancelled", "It was cancelled.", isCancelled: true);
        }

        if (stoppingToken.IsCancellationRequested)
        {
            await queue.RescheduleAsync(job.Lease, TimeSpan.Zero, CancellationToken.None);
            return "stopped";
        }

        var refusal = Refusals.From(cause);
        if (refusal is null)
        {
            Log.Failed(logger, job.Kind, job.Id, job.Attempt, cause);
        }

        if (_handlers[job.Kind].Interval is { } interval)
        {
            await queue.RescheduleAsync(job.Lease, interval, CancellationToken.None);
            return "retried";
        }

        var code = refusal is null ? Unexpected(cause) : refusal.Reason ?? ErrorCatalog.Entry(refusal.Code).Name;
        var message = refusal?.Message ?? $"The server failed on this job; its log has the cause under {job.Id}.";
        return MayPass(refusal) && job.Attempt < job.AttemptsMax
            ? await PutBackAsync(job, code, message, BackOff(job.Attempt))
            : await GiveUpAsync(run, code, message, isCancelled: false);
    }

    // A status that another attempt at the same job has changed is no reason to fail: the next attempt finds what that
    // one has left, or has completed.
    private static bool MayPass(RegistryException? refusal) => refusal is null
        || refusal.Reason == CopyLedger.CopyUnderWay
        || refusal.Code is ErrorCode.StoreUnavailable or ErrorCode.DatabaseUnavailable or ErrorCode.IdentityUnavailable
            or ErrorCode.Busy or ErrorCode.StoreFull or ErrorCode.Fenced or ErrorCode.InvalidStatusTransition;

    private async Task<string> PutBackAsync(Job job, string code, string message, TimeSpan delay) =>
        await queue.FailAsync(job.Lease, code, message, delay, CancellationToken.None) ? "retried" : "lost";

    // The worker that has the job now decides how it ends, so the lease is renewed first.
    private async Task<string> GiveUpAsync(JobRun run, string code, string message, bool isCancelled)
    {
        var (job, handler) = (run.Job, _handlers[run.Job.Kind]);
        if (await queue.RenewAsync(job.Lease, _options.Lease, run.Progress, CancellationToken.None) == LeaseState.Lost)
        {
            return "lost";
        }

        // A process that went away in each of its clean-ups shall not do so for ever.
        var attemptsLeft = GiveUpsMax - (job.Attempt - job.AttemptsMax);
        var isClean = attemptsLeft < -GiveUpsMax
            || await TryAsync(job, () => handler.GiveUpAsync(job, code, message));

        // Asked last: from here on no earlier attempt can complete the job.
        DoneJob? done = null;
        var isKnown = await TryAsync(job, async () => done = await handler.FindDoneAsync(job));
        if (done is not null)
        {
            return await EndAsync(run, done.Result);
        }

        if (!(isClean && isKnown) && attemptsLeft > 0)
        {
            return await PutBackAsync(job, code, message, BackOff(Math.Max(1, job.Attempt - job.AttemptsMax)));
        }

        return isCancelled
            ? await queue.CancelledAsync(job.Lease, run.Progress, CancellationToken.None) ? "cancelled" : "lost"
            : await queue.FailAsync(job.Lease, code, message, retryIn: null, CancellationToken.None) ? "failed" : "lost";
    }

    private async Task<bool> TryAsync(Job job, Func<Task> cleanUp)
    {
        try
        {
            await cleanUp();
            return true;
        }
        catch (Exception e)
        {
            Log.NotGivenUp(logger, job.Kind, job.Id, job.Attempt, e);
            return false;
        }
    }

    private static string Unexpected(Exception cause) => cause is IOException ? "store_failed" : "internal_error";

    // Twice as long each time, and never the same twice: workers that failed together do not come back together.
    private static TimeSpan BackOff(int attempt)
    {
        var longest = Math.Min(BackOffMax.TotalSeconds, Math.Pow(2, Math.Min(attempt, 20)));
        return TimeSpan.FromSeconds(longest * (0.5 + (Random.Shared.NextDouble() / 2)));
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "job {Kind} {JobId}, attempt {Attempt}: {Outcome} after {Milliseconds} ms")]
        public static partial void Ended(
            ILogger logger, string kind, Guid jobId, int attempt, string outcome, long milliseconds);

        [LoggerMessage(2, LogLevel.Error, "job {Kind} {JobId}, attempt {Attempt} failed")]
        public static partial void Failed(ILogger logger, string kind, Guid jobId, int attempt, Exception exception);

        [LoggerMessage(3, LogLevel.Error, "job {Kind} {JobId}, attempt {Attempt}: the clean-up failed")]
        public static partial void NotGivenUp(ILogger logger, string kind, Guid jobId, int attempt, Exception exception);
    }
}
