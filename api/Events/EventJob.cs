using Microsoft.Extensions.Options;
using Registry.Api.Jobs;
using Registry.Api.Metrics;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Events;

/// <summary>Tells the operator's webhook what happened, again and again; one replica at a time.</summary>
/// <remarks>An event is forgotten when the receiver has taken it, so one that was taken just before this process was
/// killed, or lost its lease, is told once more under the same id. Events of one image come in their order.</remarks>
internal sealed partial class EventJob(
    EventOutbox outbox,
    Webhook webhook,
    RegistryMetrics metrics,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<EventJob> logger) : IJobHandler
{
    private const int BatchEvents = 100;
    private static readonly TimeSpan DropInterval = TimeSpan.FromMinutes(1);

    private readonly EventsSection _options = options.Value.Events;
    private long? _droppedAt;

    /// <inheritdoc/>
    public string Kind => "events";

    /// <inheritdoc/>
    public TimeSpan? Interval => _options.Poll;

    /// <inheritdoc/>
    public IEnumerable<JobOrder> Standing =>
        [new JobOrder(Kind, "{}") { UniqueKey = Kind, AttemptsMax = JobOrder.Unlimited }];

    /// <inheritdoc/>
    public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
    {
        await DropAsync(cancellationToken);
        var told = 0L;
        while (await outbox.FindDueAsync(BatchEvents, cancellationToken) is { Count: > 0 } due)
        {
            foreach (var happened in due)
            {
                if (await webhook.PostAsync(happened, cancellationToken) is { } problem)
                {
                    // Whoever did not take this one will hardly take the next: it is asked again in a while.
                    Log.NotTold(logger, happened.Id, happened.Type, happened.Subject, happened.Failures + 1, problem);
                    metrics.EventEnded("postponed", 1);
                    await outbox.PostponeAsync(happened, Pause(happened.Failures), cancellationToken);
                    return null;
                }

                await outbox.RemoveAsync(happened, CancellationToken.None);
                metrics.EventEnded("delivered", 1);
                run.Progress = new JobProgress("telling", ++told, null);
                cancellationToken.ThrowIfCancellationRequested();
            }
        }

        return null;
    }

    private async Task DropAsync(CancellationToken cancellationToken)
    {
        if (_droppedAt is { } last && clock.GetElapsedTime(last) < DropInterval)
        {
            return;
        }

        var dropped = await outbox.DropAsync(_options.Keep, _options.Most, cancellationToken);
        _droppedAt = clock.GetTimestamp();
        if (dropped > 0)
        {
            metrics.EventEnded("dropped", dropped);
            Log.Dropped(logger, dropped);
        }
    }

    // Twice as long each time, and never the same twice.
    private TimeSpan Pause(int failures)
    {
        var longest = Math.Min(_options.PauseMax.TotalSeconds, 0.5 * Math.Pow(2, Math.Min(failures, 20)));
        return TimeSpan.FromSeconds(longest * (0.5 + (Random.Shared.NextDouble() / 2)));
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "event {EventId} ({Type} of {Subject}) was not taken by the webhook, time {Failures}: {Problem}")]
        public static partial void NotTold(
            ILogger logger, Guid eventId, string type, string subject, int failures, string problem);

        [LoggerMessage(2, LogLevel.Error, "{Count} events were given up: the webhook did not take them for too long")]
        public static partial void Dropped(ILogger logger, int count);
    }
}
