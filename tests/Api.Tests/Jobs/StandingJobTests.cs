using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Registry.Api.Jobs;
using Registry.Api.Metrics;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;

namespace Registry.Api.Tests.Jobs;

/// <summary>Jobs that begin anew, on a real queue.</summary>
public sealed class StandingJobTests : IAsyncLifetime
{
    private readonly RegistryApp _app = new() { Settings = { ["Registry:Jobs:Workers"] = "0" } };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task A_standing_job_that_takes_long_begins_anew_after_twenty_times_as_long()
    {
        var services = _app.Services;
        var handler = new Slow();
        using var signal = new JobSignal();
        using var runner = new JobRunner(
            services.GetRequiredService<JobQueue>(), [handler], signal, services.GetRequiredService<RegistryMetrics>(),
            TimeProvider.System,
            Options.Create(new RegistryOptions { Jobs = new() { Workers = 1, Poll = TimeSpan.FromMilliseconds(10) } }),
            NullLogger<JobRunner>.Instance);
        await runner.StartAsync(RegistryApp.Stop);
        var ended = await handler.Ended.Task.WaitAsync(RegistryApp.Stop);
        Job job;
        do
        {
            await Task.Delay(10, RegistryApp.Stop);
            await using var db = await services.GetRequiredService<IDbContextFactory<RegistryDb>>()
                .CreateDbContextAsync(RegistryApp.Stop);
            job = await db.Jobs.AsNoTracking().SingleAsync(j => j.Kind == handler.Kind, RegistryApp.Stop);
        }
        while (job.Status != JobStatus.Pending);

        await runner.StopAsync(RegistryApp.Stop);
        Assert.True(job.RunAfter - ended >= Slow.Time * 20, $"it ended at {ended:O} and is due at {job.RunAfter:O}");
    }

    private sealed class Slow : IJobHandler
    {
        public static readonly TimeSpan Time = TimeSpan.FromMilliseconds(200);

        public TaskCompletionSource<DateTimeOffset> Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public string Kind => "slow";

        public TimeSpan? Interval => TimeSpan.FromMilliseconds(1);

        public IEnumerable<JobOrder> Standing => [new JobOrder(Kind, "{}") { UniqueKey = Kind }];

        public async Task<string?> RunAsync(JobRun run, CancellationToken cancellationToken)
        {
            await Task.Delay(Time, cancellationToken);
            Ended.TrySetResult(DateTimeOffset.UtcNow);
            return null;
        }
    }
}
