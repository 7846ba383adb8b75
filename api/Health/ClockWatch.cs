using Registry.Storage;

namespace Registry.Api.Health;

/// <summary>Notices steps of the wall clock and logs them. Nothing depends on it: leases, tickets and deadlines are judged
/// by the monotonic clock or by the database's.</summary>
internal sealed partial class ClockWatch(TimeProvider clock, ILogger<ClockWatch> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(2);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var steady = SteadyClock.Of(clock);
        var known = steady.Step;
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            var step = steady.Step - known;
            if (step.Duration() >= Least)
            {
                known += step;
                Log.Stepped(logger, step.TotalSeconds, clock.GetUtcNow());
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "the wall clock was stepped by {Seconds} s to {Now:O}: leases, tickets and deadlines are not affected")]
        public static partial void Stepped(ILogger logger, double seconds, DateTimeOffset now);
    }
}
