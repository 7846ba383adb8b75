using Microsoft.Extensions.Options;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Jobs;

/// <summary>The workers of this process: those that projects share, and one of its own for each kind of the registry's
/// own work.</summary>
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
    private readonly JobsSection _options = options.Value.Jobs;

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (database.Reserve is { IsReadOnly: true })
        {
            return; // a job is a row that is written to
        }

        var dispatchers = _options.Workers > 0 ? Dispatchers() : [];
        await Task.WhenAll(
            dispatchers.Select(dispatcher => dispatcher.RunAsync(stoppingToken)).Append(StandAsync(stoppingToken)));
    }

    private IEnumerable<JobDispatcher> Dispatchers()
    {
        var shared = handlers.Where(handler => !handler.HasOwnWorker).Select(handler => handler.Kind);
        yield return Dispatcher("", [.. shared], new JobShares(_options.Workers, _options.WorkersPerProject));
        foreach (var own in handlers.Where(handler => handler.HasOwnWorker))
        {
            yield return Dispatcher($"{own.Kind} ", [own.Kind], new JobShares(workers: 1, perProject: 1));
        }
    }

    private JobDispatcher Dispatcher(string name, string[] kinds, JobShares shares) =>
        new(name, kinds, shares, queue, attempts, signal, _options, clock, logger);

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
                Log.NotStanding(logger, e); // the server keeps serving, and the next round tries again
            }

            await Task.Delay(_options.Lease, clock, stoppingToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "the standing jobs could not be queued")]
        public static partial void NotStanding(ILogger logger, Exception exception);
    }
}
