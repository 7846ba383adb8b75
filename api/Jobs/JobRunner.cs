using Microsoft.Extensions.Options;
using Registry.Api.Errors;
using Registry.Api.ImageData;
using Registry.Api.Metrics;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

namespace Registry.Api.Jobs;

/// <summary>The workers of this process: each takes a job that is due, does it under a lease, and says how it
/// ended.</summary>
internal sealed partial class JobRunner(
    JobQueue queue,
    IEnumerable<IJobHandler> handlers,
    JobSignal signal,
    RegistryMetrics metrics,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<JobRunner> logger) : BackgroundService
{
    private static readonly TimeSpan BackOffMax = TimeSpan.FromMinutes(5);

    private readonly Dictionary<string, IJobHandler> _handlers = handlers.ToDictionary(h => h.Kind);
    private readonly JobsSection _options = options.Value.Jobs;

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var workers = Enumerable.Range(1, _options.Workers).Select(number => WorkAsync(number, stoppingToken));
        await Task.WhenAll(workers.Append(StandAsync(stoppingToken)));
    }

    // The jobs that are always there, put there once more now and then in case somebody removed them.
    private async Task StandAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                foreach (var order in _handlers.Values.SelectMany(h => h.Standing))
                {
                    await queue.EnqueueAsync(order, stoppingToken);
                }

                signal.Set();
                foreach (var handler in _handlers.Values)
                {
                    await handler.TidyAsync(stoppingToken);
                }

                await queue.PurgeAsync(_options.Keep, stoppingToken);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                Log.QueueFailed(logger, e); // whatever it was: serving goes on, and the next round tries again
            }

            await Task.Delay(_options.Lease, clock, stoppingToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task WorkAsync(int number, CancellationToken stoppingToken)
    {
        var owner = $"{ImageUploads.Owner}/{number}";
        while (!stoppingToken.IsCancellationRequested)
        {
            Job? job = null;
            try
            {
                job = await queue.LeaseAsync(_handlers.Keys, owner, _options.Lease, stoppingToken);
                if (job is not null)
                {
                    signal.Set(); // there may be more: wake the next worker
                    await RunAsync(job, stoppingToken);
                }
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                Log.QueueFailed(logger, e);
                job = null;
            }
            catch (OperationCanceledException)
            {
                return;
            }

            if (job is null)
            {
                await signal.WaitAsync(_options.Poll, stoppingToken)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task RunAsync(Job job, CancellationToken stoppingToken)
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
                var result = run.IsCancelRequested
                    ? throw new OperationCanceledException()
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

        [LoggerMessage(3, LogLevel.Warning, "the job queue does not answer")]
        public static partial void QueueFailed(ILogger logger, Exception exception);
    }
}
