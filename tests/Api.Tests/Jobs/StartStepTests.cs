using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Npgsql;
using Registry.Api.Jobs;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Jobs;

public sealed class StartStepTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);
    private readonly FakeTimeProvider _time = new();
    private readonly Lines _lines = new();

    [Fact]
    public async Task A_step_that_does_not_end_is_named_and_ends_the_start_at_its_deadline()
    {
        var never = new TaskCompletionSource();
        var running = RunAsync(_ => never.Task);
        await UntilAsync(running, () => _lines.Said.Count > 0);
        Assert.Equal(["the start is waiting for the moon, at most 10 s"], _lines.Said);
        Assert.False(running.IsCompleted);
        await UntilAsync(running, () => running.IsCompleted);
        var end = await Assert.ThrowsAsync<ConfigurationException>(() => running);
        Assert.Equal("the start waited for the moon for 10 s: look up", end.Message);
    }

    [Fact]
    public async Task A_step_that_blocks_its_thread_ends_the_start_at_its_deadline_too()
    {
        using var blocked = new ManualResetEventSlim();
        var running = RunAsync(_ =>
        {
            blocked.Wait(CancellationToken.None);
            return Task.CompletedTask;
        });
        await UntilAsync(running, () => running.IsCompleted);
        await Assert.ThrowsAsync<ConfigurationException>(() => running);
        blocked.Set();
    }

    [Fact]
    public async Task A_step_that_the_database_fails_is_one_line_with_the_cause_and_the_remedy()
    {
        var end = await Assert.ThrowsAsync<ConfigurationException>(() => RunAsync(_ => throw new RegistryException(
            ErrorCode.DatabaseUnavailable, "The database does not answer.", inner: new SqliteException("locked", 5))));
        Assert.Equal("The moon failed: locked: look up", end.Message);
    }

    [Fact]
    public async Task A_step_that_asked_something_that_answered_late_is_run_again_until_the_deadline()
    {
        var runs = 0;
        var running = RunAsync(_ => ++runs < 3
            ? throw new InvalidOperationException("transient", new NpgsqlException("late", new TimeoutException()))
            : Task.CompletedTask);
        await UntilAsync(running, () => running.IsCompleted);
        await running;
        Assert.Equal(3, runs);

        running = RunAsync(_ => throw new TimeoutException("late"));
        await UntilAsync(running, () => running.IsCompleted);
        var end = await Assert.ThrowsAsync<ConfigurationException>(() => running);
        Assert.Equal("the start waited for the moon for 10 s: look up", end.Message);
    }

    [Fact]
    public async Task What_is_wrong_with_the_configuration_stays_as_it_was_said()
    {
        var end = await Assert.ThrowsAsync<ConfigurationException>(
            () => RunAsync(_ => throw new ConfigurationException("The schema is newer.")));
        Assert.Equal("The schema is newer.", end.Message);
    }

    private Task RunAsync(Func<CancellationToken, Task> step) =>
        new StartStep(_time, _lines).RunAsync("the moon", Limit, "look up", step, RegistryApp.Stop);

    // The step arms its timers on another thread: the clock moves on until they fire.
    private async Task UntilAsync(Task running, Func<bool> condition)
    {
        for (var i = 0; !condition(); i++)
        {
            Assert.InRange(i, 0, 2000);
            _time.Advance(TimeSpan.FromMilliseconds(500));
            await Task.WhenAny(running, Task.Delay(10, RegistryApp.Stop));
        }
    }

    private sealed class Lines : ILogger
    {
        public List<string> Said { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) => Said.Add(formatter(state, exception));
    }
}
