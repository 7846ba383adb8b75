using Registry.Api.ImageData;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;

namespace Registry.Api.Jobs;

/// <summary>Hands due jobs of some kinds to workers of their own, one job a worker.</summary>
/// <param name="name">Of the workers, unique in the process.</param>
/// <param name="kinds">The kinds of the jobs.</param>
/// <param name="shares">The workers.</param>
/// <param name="queue">Where jobs come from.</param>
/// <param name="attempts">Does them.</param>
/// <param name="signal">Set when this process asked for a job.</param>
/// <param name="options">Lease and poll.</param>
/// <param name="clock">The clock.</param>
/// <param name="logger">Logs what the queue fails with.</param>
internal sealed partial class JobDispatcher(
    string name,
    string[] kinds,
    JobShares shares,
    JobQueue queue,
    JobAttempts attempts,
    JobSignal signal,
    JobsSection options,
    TimeProvider clock,
    ILogger logger)
{
    private readonly JobSignal _ended = new();

    /// <summary>Runs until the process stops, and until the jobs that it has begun are put back.</summary>
    public async Task RunAsync(CancellationToken stoppingToken)
    {
        var running = new List<Task>();
        while (!stoppingToken.IsCancellationRequested)
        {
            var (asked, ended) = (signal.Next, _ended.Next);
            if (await TryBeginAsync(stoppingToken) is { } begun)
            {
                running.RemoveAll(job => job.IsCompleted);
                running.Add(begun);
                continue;
            }

            await Task.WhenAny(asked, ended, Task.Delay(options.Poll, clock, stoppingToken));
        }

        await Task.WhenAll(running);
    }

    // One claim at a time: the shares that it goes by are those of the jobs before it.
    private async Task<Task?> TryBeginAsync(CancellationToken stoppingToken)
    {
        if (shares.TryTake() is not { } worker)
        {
            return null;
        }

        Job? job = null;
        try
        {
            job = await queue.LeaseAsync(
                kinds, shares.Full, $"{ImageUploads.Owner}/{name}{worker}", options.Lease, stoppingToken);
        }
        catch (Exception e)
        {
            if (!stoppingToken.IsCancellationRequested)
            {
                Log.QueueFailed(logger, e);
            }
        }

        if (job is null)
        {
            shares.Return(worker);
            return null;
        }

        shares.Begin(job.Owner);
        return RunAsync(job, worker, stoppingToken);
    }

    private async Task RunAsync(Job job, int worker, CancellationToken stoppingToken)
    {
        await Task.Yield(); // the dispatcher looks for the next job meanwhile
        try
        {
            await attempts.RunAsync(job, stoppingToken);
        }
        catch (Exception e)
        {
            if (!stoppingToken.IsCancellationRequested)
            {
                Log.QueueFailed(logger, e);
            }
        }
        finally
        {
            shares.End(job.Owner);
            shares.Return(worker);
            _ended.Set();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "the job queue does not answer")]
        public static partial void QueueFailed(ILogger logger, Exception exception);
    }
}
