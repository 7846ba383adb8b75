using Microsoft.Extensions.Options;
using Registry.Api.ImageData;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>The workers of this process: each takes a job that is due, does it under a lease, and says how it
/// ended.</summary>
internal sealed partial class JobRunner(
    JobQueue queue,
    IEnumerable<IJobHandler> handlers,
    JobAttempts attempts,
    JobSignal signal,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    DatabaseOptions database,
    ILogger<JobRunner> logger) : BackgroundService
{
    private readonly string[] _kinds = [.. handlers.Select(h => h.Kind)];
    private readonly JobsSection _options = options.Value.Jobs;

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (database.Reserve is { IsReadOnly: true })
        {
            return; // a job is a row that is written to
        }

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
                foreach (var order in handlers.SelectMany(h => h.Standing))
                {
                    await queue.EnqueueAsync(order, stoppingToken);
                }

                signal.Set();
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
                job = await queue.LeaseAsync(_kinds, owner, _options.Lease, stoppingToken);
                if (job is not null)
                {
                    signal.Set(); // there may be more: wake the next worker
                    await attempts.RunAsync(job, stoppingToken);
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

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "the job queue does not answer")]
        public static partial void QueueFailed(ILogger logger, Exception exception);
    }
}
