using Microsoft.Extensions.Logging;

namespace Registry.Storage.Blobs.Remote;

/// <summary>Runs requests to a distant store, again with growing pauses where that may help, and says in the project's
/// own exceptions how they ended.</summary>
/// <remarks>Only for what may be done twice: reads, and writes of the same bytes under the same name.</remarks>
internal sealed partial class StoreCalls(
    string storeId, StorePatience patience, TimeProvider time, ILogger logger)
{
    private const int AttemptsMax = 5;
    private const int GarbledMax = 2;
    private static readonly TimeSpan _firstPause = TimeSpan.FromMilliseconds(100);

    /// <summary>The store's id.</summary>
    public string StoreId => storeId;

    /// <summary>Runs a request that answers with nothing.</summary>
    /// <inheritdoc cref="RunAsync{T}"/>
    public Task RunAsync(string verb, Func<StoreAttempt, Task> call, CancellationToken cancellationToken) =>
        RunAsync(
            verb,
            async attempt =>
            {
                await call(attempt).ConfigureAwait(false);
                return true;
            },
            cancellationToken);

    /// <summary>Runs a request.</summary>
    /// <param name="verb">What is done, for the log.</param>
    /// <param name="call">Does it once.</param>
    /// <param name="cancellationToken">Cancels at once, also between attempts.</param>
    /// <exception cref="StoreUnavailableException">Five attempts failed, or time is up, or the store refuses.
    /// </exception>
    /// <exception cref="StoreFullException">The store has no room.</exception>
    /// <exception cref="StoreStatusException">What was asked for is not there.</exception>
    public async Task<T> RunAsync<T>(
        string verb, Func<StoreAttempt, Task<T>> call, CancellationToken cancellationToken)
    {
        var budget = new StoreBudget(patience, time);
        for (var number = 1; ; number++)
        {
            using var attempt = new StoreAttempt(budget, cancellationToken);
            try
            {
                return await call(attempt).ConfigureAwait(false);
            }
            catch (Exception exception) when (!IsAnswer(exception, cancellationToken))
            {
                var pause = Pause(number);
                if (number == AttemptsMax || pause >= budget.Left
                    || !(MayPass(exception) || (number < GarbledMax && MayBeGarbled(exception))))
                {
                    throw Describe(exception);
                }

                LogAgain(exception, verb, number);
                await Task.Delay(pause, time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>What a failure is to the rest of the program.</summary>
    public IOException Describe(Exception exception) => exception is StoreStatusException { IsFull: true }
        ? new StoreFullException(storeId, exception)
        : new StoreUnavailableException(storeId, Problem(exception), MayPass(exception), exception);

    // From half of it to all of it: who failed together must not come back together.
    private static TimeSpan Pause(int attempt) =>
        _firstPause * (1 << attempt) * (0.5 + (Random.Shared.NextDouble() / 2));

    private static bool IsAnswer(Exception exception, CancellationToken cancellationToken) =>
        exception is StoreStatusException { IsNotFound: true } or BlobNotFoundException or ArgumentException
        || (exception is OperationCanceledException && cancellationToken.IsCancellationRequested);

    private static bool MayPass(Exception exception) => exception switch
    {
        StoreStatusException refused => refused.MayPass,
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } => false,
        _ => true,
    };

    private static bool MayBeGarbled(Exception exception) => exception is StoreStatusException { MayBeGarbled: true };

    private void LogAgain(Exception exception, string verb, int number)
    {
        var problem = Problem(exception);
        if (exception is DamagedWriteException or StoreStatusException { IsDamagedBody: true })
        {
            Log.Damaged(logger, storeId, verb, number, problem);
        }
        else
        {
            Log.Again(logger, storeId, verb, number, problem);
        }
    }

    private static string Problem(Exception exception) => exception switch
    {
        DamagedWriteException or GarbledAnswerException => exception.Message,
        StoreStatusException { IsDamagedBody: true } refused => $"got other bytes than were sent ({refused.Message})",
        StoreStatusException refused => refused.Message,
        OperationCanceledException => "does not answer",
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } =>
            "has a certificate that is not trusted",
        HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or
            HttpRequestError.NameResolutionError } => "cannot be reached",
        _ => "broke off its answer",
    };

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Store {StoreId} {Problem}; attempt {Attempt} to {Verb} is repeated")]
        public static partial void Again(ILogger logger, string storeId, string verb, int attempt, string problem);

        [LoggerMessage(2, LogLevel.Warning,
            "Store {StoreId} {Problem}: bits flip on the way or in the store; attempt {Attempt} to {Verb} is repeated")]
        public static partial void Damaged(ILogger logger, string storeId, string verb, int attempt, string problem);
    }
}
