using System.Net;
using System.Net.Http.Headers;
using Registry.Api.ImageData;
using Registry.Api.Outbound;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>What is downloaded.</summary>
/// <param name="Ask">Asks for it, or for a part of it, on a condition.</param>
/// <param name="IsImmutable">Whether its address never names other bytes.</param>
internal sealed record DownloadSource(
    Func<RangeHeaderValue?, RangeConditionHeaderValue?, CancellationToken, Task<HttpResponseMessage>> Ask, bool IsImmutable)
{
    /// <summary>What a URL names that a user gave.</summary>
    /// <param name="client">Fetches.</param>
    /// <param name="url">From <see cref="UrlPolicy.Read"/>.</param>
    public static DownloadSource OfUrl(OutboundClient client, Uri url) =>
        new((range, condition, cancellationToken) => client.GetAsync(url, range, condition, cancellationToken), false);
}

/// <summary>What a URL answers, as a body. A download that breaks off is taken up where it broke, when the server can say
/// that the whole is still the same.</summary>
internal sealed class WebDownload : IUploadBody, IDisposable
{
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(8);

    private readonly DownloadSource _source;
    private readonly OutboundSection _options;
    private readonly TimeProvider _clock;
    private readonly Action<long> _progress;
    private readonly long _started;
    private readonly RangeConditionHeaderValue? _validator;
    private HttpResponseMessage _response;
    private Stream _stream;
    private long _offset;
    private int _resumes;
    private int _slowReads;

    private WebDownload(
        DownloadSource source,
        OutboundSection options,
        TimeProvider clock,
        HttpResponseMessage response,
        Stream stream,
        Action<long> progress)
    {
        (_source, _options, _clock, _progress) = (source, options, clock, progress);
        (_response, _stream, _started) = (response, stream, clock.GetTimestamp());
        _validator = Validator(response);
        Length = response.Content.Headers.ContentLength;
    }

    /// <inheritdoc/>
    public long? Length { get; }

    /// <summary>Starts a download.</summary>
    /// <param name="source">What.</param>
    /// <param name="options">Limits.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="progress">Hears how many bytes have come.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">BadRequest: the address is not allowed, cannot be reached, or has nothing to
    /// give.</exception>
    public static async Task<WebDownload> OpenAsync(
        DownloadSource source,
        OutboundSection options,
        TimeProvider clock,
        Action<long> progress,
        CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                var response = await source.Ask(null, null, cancellationToken);
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
                    return new WebDownload(source, options, clock, response, stream, progress);
                }

                using (response)
                {
                    if (!MayPass(response.StatusCode) || attempt >= options.ResumesMax)
                    {
                        throw Failed($"the server answers {(int)response.StatusCode}", "download_refused");
                    }
                }
            }
            catch (Exception e) when (e is HttpRequestException or TimeoutException or IOException)
            {
                if (attempt >= options.ResumesMax)
                {
                    throw Failed("the server cannot be reached", "download_unreachable", e);
                }
            }

            await PauseAsync(clock, attempt, cancellationToken);
        }
    }

    /// <inheritdoc/>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var filled = 0;
        while (filled < buffer.Length)
        {
            if (_clock.GetElapsedTime(_started) > _options.Deadline)
            {
                throw Failed($"it takes longer than {_options.Deadline}", "download_too_long");
            }

            try
            {
                var read = await ReadAsync(buffer[filled..], cancellationToken);
                if (read == 0 && _offset < Length)
                {
                    throw new HttpIOException(HttpRequestError.ResponseEnded);
                }

                if (read == 0)
                {
                    break;
                }

                filled += read;
                _offset += read;
                _resumes = 0;
                _progress(_offset);
            }
            catch (Exception e) when (
                e is IOException or HttpRequestException or TimeoutException or ObjectDisposedException)
            {
                await ResumeAsync(e, cancellationToken);
            }
        }

        return filled;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _response.Dispose();
    }

    // A read fills what the minimum speed asks for in the time of the patience, or the whole buffer if that is less.
    private async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_options.Patience);
        var wanted = (int)Math.Min(
            buffer.Length, Math.Max(1, _options.MinimumBytesPerSecond * _options.Patience.TotalSeconds));
        var filled = 0;
        try
        {
            while (filled < wanted)
            {
                var read = await _stream.ReadAsync(buffer[filled..], patience.Token);
                if (read == 0)
                {
                    break;
                }

                filled += read;
            }

            return filled;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            if (filled > 0 && _slowReads++ >= _options.ResumesMax)
            {
                throw Failed($"less than {_options.MinimumBytesPerSecond} bytes a second come", "download_too_slow");
            }

            return filled > 0 ? filled : throw new TimeoutException("Nothing comes any more.");
        }
        catch (IOException) when (filled > 0)
        {
            return filled; // what came is good; the next read meets the break again
        }
    }

    private async ValueTask ResumeAsync(Exception cause, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_resumes++ >= _options.ResumesMax)
            {
                throw Failed($"it broke off at byte {_offset}", "download_broke_off", cause);
            }

            await PauseAsync(_clock, _resumes - 1, cancellationToken);
            try
            {
                Dispose();
                _response = await _source.Ask(new RangeHeaderValue(_offset, null), _validator, cancellationToken);
                if (MayPass(_response.StatusCode))
                {
                    continue;
                }

                RequireRest(cause);

                _stream = await _response.Content.ReadAsStreamAsync(cancellationToken);
                return;
            }
            catch (Exception e) when (e is HttpRequestException or TimeoutException or IOException)
            {
                cause = e;
            }
        }
    }

    private void RequireRest(Exception cause)
    {
        var isSame = _source.IsImmutable || (_validator is not null && Equals(Validator(_response), _validator));
        if (!isSame && _validator is not null)
        {
            throw Failed("what the address names has changed meanwhile", "download_changed", cause);
        }

        var start = _response.StatusCode == HttpStatusCode.PartialContent
            ? _response.Content.Headers.ContentRange?.From
            : _response.StatusCode == HttpStatusCode.OK ? 0 : null;
        if (start != _offset || !isSame)
        {
            throw Failed("it broke off, and the server gives no means to take it up again", "download_broke_off", cause);
        }
    }

    // Only a strong one says that the bytes are the same.
    private static RangeConditionHeaderValue? Validator(HttpResponseMessage response) => response switch
    {
        { Headers.ETag: { IsWeak: false } tag } => new RangeConditionHeaderValue(tag),
        { Content.Headers.LastModified: { } date } => new RangeConditionHeaderValue(date),
        _ => null,
    };

    private static bool MayPass(HttpStatusCode status) => status is HttpStatusCode.RequestTimeout
        or HttpStatusCode.TooManyRequests or HttpStatusCode.InternalServerError or HttpStatusCode.BadGateway
        or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout;

    private static Task PauseAsync(TimeProvider clock, int attempt, CancellationToken cancellationToken) =>
        Task.Delay(
            TimeSpan.FromSeconds(Math.Min(PauseMax.TotalSeconds, 0.25 * Math.Pow(2, Math.Min(attempt, 10)))),
            clock,
            cancellationToken);

    private static RegistryException Failed(string why, string reason, Exception? cause = null) =>
        new(ErrorCode.BadRequest, $"The download failed: {why}.", reason, cause);
}
