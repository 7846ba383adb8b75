using System.Net;
using System.Net.Http.Headers;
using Registry.Api.Outbound;
using Registry.Engine.Bytes;

namespace Registry.Api.Import;

/// <summary>What a URL names, read by ranges as they are needed. Nothing of it is kept but its head.</summary>
/// <remarks>Each range is asked for on the condition that the whole is still what it was at the first one, and taken up
/// again where it breaks off. The deadline of a download counts for all of them together.</remarks>
internal sealed class WebRanges : IByteSource
{
    /// <summary>2 MiB, got with the first request: most images have all of their tables there.</summary>
    private const int HeadBytes = 2 << 20;

    private readonly DownloadSource _source;
    private readonly OutboundSection _options;
    private readonly TimeProvider _clock;
    private readonly WebVersion _version;
    private readonly byte[] _head;

    private WebRanges(
        DownloadSource source, OutboundSection options, TimeProvider clock, WebVersion version, byte[] head) =>
        (_source, _options, _clock, _version, _head) = (source, options, clock, version, head);

    /// <inheritdoc/>
    public long Length => _version.Length;

    /// <summary>The first bytes.</summary>
    public ReadOnlySpan<byte> Head => _head;

    /// <summary>Asks for the head.</summary>
    /// <param name="source">What is read.</param>
    /// <param name="options">Limits.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Null where the server gives no ranges, or cannot say that they are all of the same bytes.</returns>
    /// <exception cref="Storage.Domain.RegistryException">BadRequest: the address is not allowed, or cannot be
    /// reached.</exception>
    public static async Task<WebRanges?> OpenAsync(
        DownloadSource source, OutboundSection options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var since = clock.GetTimestamp();
        var response = await WebDownload.AskAsync(
            source, options, clock, new RangeHeaderValue(0, HeadBytes - 1), status => !WebDownload.MayPass(status),
            cancellationToken);
        if (Version(source, response, since) is not { } version)
        {
            response.Dispose();
            return null;
        }

        var head = new byte[Math.Min(HeadBytes, version.Length)];
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        using var part = WebDownload.Part(source, options, clock, version, 0, head.Length, response, stream);
        await part.FillAsync(head, cancellationToken);
        return new WebRanges(source, options, clock, version, head);
    }

    /// <inheritdoc/>
    /// <exception cref="Storage.Domain.RegistryException">BadRequest: the bytes are not to be had any more.</exception>
    public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var count = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        var known = (int)Math.Clamp(_head.Length - offset, 0, count);
        _head.AsSpan((int)Math.Min(offset, _head.Length), known).CopyTo(buffer.Span);
        if (known == count)
        {
            return count;
        }

        using var part = WebDownload.Part(_source, _options, _clock, _version, offset + known, offset + count);
        return known + await part.FillAsync(buffer[known..count], cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        ValueTask.FromResult(new ByteRun(Length - offset, IsHole: false));

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static WebVersion? Version(DownloadSource source, HttpResponseMessage response, long since)
    {
        var validator = WebDownload.Validator(response);
        return response.StatusCode == HttpStatusCode.PartialContent
            && response.Content.Headers.ContentRange is { From: 0, Length: { } length }
            && (validator is not null || source.IsImmutable)
                ? new WebVersion(length, validator, since)
                : null;
    }
}
