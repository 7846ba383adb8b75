using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Api.Jobs;

/// <summary>A step of the start: it is named when it takes long, and ends the start when it takes too long.</summary>
/// <param name="clock">The clock.</param>
/// <param name="logger">Logs what is waited for.</param>
internal sealed partial class StartStep(TimeProvider clock, ILogger logger)
{
    private static readonly TimeSpan SayAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>Runs a step; again where something it asked did not answer in time, as long as the limit allows: a machine that
    /// starts everything at once is slow for a while.</summary>
    /// <param name="what">What is waited for, as the object of "waiting for".</param>
    /// <param name="limit">Maximum time; more than two seconds.</param>
    /// <param name="remedy">What the operator can do when the step fails or takes too long.</param>
    /// <param name="step">The step. It may block its thread: SQLite does while it waits for a lock.</param>
    /// <param name="cancellationToken">Cancels the step.</param>
    /// <exception cref="ConfigurationException">The step failed for a reason outside of this process, or did not end
    /// within <paramref name="limit"/>.</exception>
    public async Task RunAsync(
        string what, TimeSpan limit, string remedy, Func<CancellationToken, Task> step, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var running = Task.Run(() => RepeatAsync(step, stop.Token), cancellationToken);
        try
        {
            try
            {
                await running.WaitAsync(SayAfter, clock, cancellationToken);
            }
            catch (TimeoutException) when (!running.IsCompleted)
            {
                Log.Waiting(logger, what, (long)limit.TotalSeconds);
                await running.WaitAsync(limit - SayAfter, clock, cancellationToken);
            }
        }
        catch (TimeoutException) when (!running.IsCompleted)
        {
            await stop.CancelAsync();
            throw new ConfigurationException(
                $"the start waited for {what} for {limit.TotalSeconds:F0} s: {remedy}");
        }
        catch (Exception e) when (e is RegistryException or DbException or TimeoutException or IOException
            or UnauthorizedAccessException or InvalidOperationException { InnerException: DbException })
        {
            throw new ConfigurationException($"{Upper(what)} failed: {Cause(e)}: {remedy}");
        }
    }

    private async Task RepeatAsync(Func<CancellationToken, Task> step, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                await step(cancellationToken);
                return;
            }
            catch (Exception e) when (IsLate(e) && !cancellationToken.IsCancellationRequested)
            {
                await Task.Delay(Pause, clock, cancellationToken);
            }
        }
    }

    private static bool IsLate(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is TimeoutException)
            {
                return true;
            }
        }

        return false;
    }

    private static string Cause(Exception exception)
    {
        var cause = exception;
        while (cause is RegistryException or InvalidOperationException or DbUpdateException
            && cause.InnerException is { } inner)
        {
            cause = inner;
        }

        return cause.Message.ReplaceLineEndings(" ").TrimEnd('.');
    }

    private static string Upper(string what) => char.ToUpperInvariant(what[0]) + what[1..];

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "the start is waiting for {What}, at most {Seconds} s")]
        public static partial void Waiting(ILogger logger, string what, long seconds);
    }
}
