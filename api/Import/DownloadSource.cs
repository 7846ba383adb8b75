using System.Net.Http.Headers;
using Registry.Api.Outbound;

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

/// <summary>The bytes that a source had when they were first asked for.</summary>
/// <param name="Length">How many.</param>
/// <param name="Validator">What says that they are still the same; null where nothing does.</param>
/// <param name="Since">When that was, by the clock's timestamps.</param>
internal sealed record WebVersion(long Length, RangeConditionHeaderValue? Validator, long Since);
