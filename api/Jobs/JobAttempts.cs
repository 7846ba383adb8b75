using Microsoft.Extensions.Options;
using Registry.Api.Errors;
using Registry.Api.Metrics;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

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
            if (!await GiveUpAsync(run, "cancelled", "It was cancelled."))
            {
                return "lost";
            }

            await queue.CancelledAsync(job.Lease, run.Progress, CancellationToken.None);
            return "cancelled";
        }

        if (stoppingToken.IsCancellationRequested)
        {
            await queue.RescheduleAsync(job.Lease, TimeSpan.Zero, CancellationToken.None);
            return "stopped";
        }

        var refusal = Refusals.From(cause);
        var mayPass = refusal is null || refusal.Code is ErrorCode.StoreUnavailable or ErrorCode.DatabaseUnavailable
            or ErrorCode.IdentityUnavailable or ErrorCode.Busy or ErrorCode.StoreFull;
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
        TimeSpan? retry = mayPass && job.Attempt < job.AttemptsMax ? BackOff(job.Attempt) : null;
        if (retry is null && !await GiveUpAsync(run, code, message))
        {
            return "lost";
        }

        await queue.FailAsync(job.Lease, code, message, retry, CancellationToken.None);
        return retry is null ? "failed" : "retried";
    }

    // Whoever has the job now decides what becomes of it, so it is asked for once more.
    private async Task<bool> GiveUpAsync(JobRun run, string code, string message)
    {
        if (await queue.RenewAsync(run.Job.Lease, _options.Lease, run.Progress, CancellationToken.None) == LeaseState.Lost)
        {
            return false;
        }

        await _handlers[run.Job.Kind].GiveUpAsync(run.Job, code, message);
        return true;
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
    }
}
