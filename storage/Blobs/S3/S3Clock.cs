using System.Net;
using Microsoft.Extensions.Logging;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>Keeps the time of a store, which it learns from the answers, and signs requests by it: the store refuses what
/// is signed by a clock that is minutes away from its own.</summary>
internal sealed partial class S3Clock(
    HttpMessageHandler inner, S3Signature signature, TimeProvider time, ILogger logger) : DelegatingHandler(inner)
{
    /// <summary>Smaller differences are left alone: every store tolerates 15 minutes.</summary>
    private static readonly TimeSpan _tolerance = TimeSpan.FromMinutes(2);

    private volatile Reading? _reading;

    /// <summary>The store's time, UTC, within a second; the process's while the store has not answered yet.</summary>
    public DateTimeOffset Now => _reading is { } reading
        ? reading.At + time.GetElapsedTime(reading.Timestamp)
        : time.GetUtcNow();

    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (_reading is not null && IsFar(S3Signature.TimeOf(request)))
        {
            signature.SignAgain(request, Now);
        }

        var response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
        if (response.Headers.Date is { } date)
        {
            Learn(date);
            if (response.StatusCode == HttpStatusCode.Forbidden && IsFar(S3Signature.TimeOf(request)))
            {
                // Signed before the store's time was known, or while it was stepped. The next attempt is not.
                response.Dispose();
                throw new StoreStatusException(HttpStatusCode.Forbidden, StoreStatusException.ClockCode);
            }
        }

        return response;
    }

    private bool IsFar(DateTimeOffset? signedAt) => signedAt is { } at && (at - Now).Duration() > _tolerance;

    private void Learn(DateTimeOffset date)
    {
        var isKnown = _reading is not null && (date - Now).Duration() <= _tolerance;
        _reading = new Reading(date, time.GetTimestamp());
        var ahead = time.GetUtcNow() - date;
        if (!isKnown && ahead.Duration() > _tolerance)
        {
            Log.Differs(logger, (long)ahead.TotalSeconds);
        }
    }

    private sealed record Reading(DateTimeOffset At, long Timestamp);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "the clock of this machine is {Seconds} s ahead of the store's; requests are signed by the store's clock")]
        public static partial void Differs(ILogger logger, long seconds);
    }
}
