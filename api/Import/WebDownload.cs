using System.Net;
using System.Net.Http.Headers;
using Registry.Api.ImageData;
using Registry.Api.Outbound;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>What a URL answers, or a part of it, as a body. A download that breaks off is taken up where it broke, when the
/// server can say that the whole is still the same.</summary>
internal sealed class WebDownload : IUploadBody, IDisposable
{
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(8);

    private readonly DownloadSource _source;
    private readonly OutboundSection _options;
    private readonly TimeProvider _clock;
    private readonly Action<long> _progress;
    private readonly long _started;
    private readonly RangeConditionHeaderValue? _validator;
    private readonly long? _partEnd;
    private HttpResponseMessage? _response;
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

    private WebDownload(
        DownloadSource source, OutboundSection options, TimeProvider clock, WebVersion version, long start, long end)
    {
        (_source, _options, _clock, _progress) = (source, options, clock, static _ => { });
        (Length, _validator, _started) = (version.Length, version.Validator, version.Since);
        (_stream, _offset, _partEnd) = (Stream.Null, start, end);
    }

    /// <summary>Bytes of the whole, where the server says it.</summary>
    public long? Length { get; }

    /// <summary>Describes a part of what a URL names; it is asked for when it is read.</summary>
    /// <param name="source">What.</param>
    /// <param name="options">Limits.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="version">What the whole must still be.</param>
    /// <param name="start">First byte.</param>
    /// <param name="end">Byte behind the last one.</param>
    /// <param name="response">What the server has answered when it was asked for this part; null when it was not.</param>
    /// <param name="stream">The body of that.</param>
    public static WebDownload Part(
        DownloadSource source,
        OutboundSection options,
        TimeProvider clock,
        WebVersion version,
        long start,
        long end,
        HttpResponseMessage? response = null,
        Stream? stream = null) =>
        new(source, options, clock, version, start, end) { _response = response, _stream = stream ?? Stream.Null };

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
        var response = await AskAsync(
            source, options, clock, range: null, status => status == HttpStatusCode.OK, cancellationToken);
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        return new WebDownload(source, options, clock, response, stream, progress);
    }

    /// <summary>Asks until there is an answer that is wanted.</summary>
    /// <param name="source">What for.</param>
    /// <param name="options">Limits.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="range">The part; null for all.</param>
    /// <param name="isWanted">Which answers are.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">BadRequest: the address is not allowed, cannot be reached, or has nothing to
    /// give.</exception>
    internal static async Task<HttpResponseMessage> AskAsync(
        DownloadSource source,
        OutboundSection options,
        TimeProvider clock,
        RangeHeaderValue? range,
        Func<HttpStatusCode, bool> isWanted,
        CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                var response = await source.Ask(range, null, cancellationToken);
                if (isWanted(response.StatusCode))
                {
                    return response;
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
                if (_response is null)
                {
                    await GoOnAsync(cause: null, cancellationToken);
                }

                var read = await ReadAsync(buffer[filled..], cancellationToken);
                if (read == 0 && _offset < (_partEnd ?? Length))
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
            catch (Exception e) when (e is ObjectDisposedException || IsBreak(e))
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
        _response?.Dispose();
    }

    /// <summary>What says that the bytes are still the same: only a strong one does.</summary>
    internal static RangeConditionHeaderValue? Validator(HttpResponseMessage response) => response switch
    {
        { Headers.ETag: { IsWeak: false } tag } => new RangeConditionHeaderValue(tag),
        { Content.Headers.LastModified: { } date } => new RangeConditionHeaderValue(date),
        _ => null,
    };

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
                await GoOnAsync(cause, cancellationToken);
                return;
            }
            catch (Exception e) when (IsBreak(e))
            {
                cause = e;
            }
        }
    }

    // The name was good when the download began: while it cannot be resolved the network is away.
    private static bool IsBreak(Exception e) =>
        e is IOException or HttpRequestException or TimeoutException or RegistryException { Reason: UrlPolicy.Reason };

    private async ValueTask GoOnAsync(Exception? cause, CancellationToken cancellationToken)
    {
        Dispose();
        var response = await _source.Ask(new RangeHeaderValue(_offset, _partEnd - 1), _validator, cancellationToken);
        _response = response;
        if (MayPass(response.StatusCode))
        {
            throw new HttpRequestException($"The server answers {(int)response.StatusCode}.");
        }

        RequireRest(response, cause);
        _stream = await response.Content.ReadAsStreamAsync(cancellationToken);
    }

    private void RequireRest(HttpResponseMessage response, Exception? cause)
    {
        var isSame = _source.IsImmutable || (_validator is not null && Equals(Validator(response), _validator));
        if (!isSame && _validator is not null)
        {
            throw Failed("what the address names has changed meanwhile", "download_changed", cause);
        }

        var start = response.StatusCode == HttpStatusCode.PartialContent
            ? response.Content.Headers.ContentRange?.From
            : response.StatusCode == HttpStatusCode.OK ? 0 : null;
        if (start != _offset || !isSame)
        {
            throw Failed("it broke off, and the server gives no means to take it up again", "download_broke_off", cause);
        }
    }

    /// <summary>Whether an answer is one that may be another the next time.</summary>
    internal static bool MayPass(HttpStatusCode status) => status is HttpStatusCode.RequestTimeout
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
