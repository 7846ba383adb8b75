using System.Globalization;
using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Import;
using Registry.Api.Locations;
using Registry.Api.Outbound;
using Registry.Storage.Domain;

namespace Registry.Api.Federation;

/// <summary>Image services of other regions, asked in the name of the caller.</summary>
/// <remarks>Where they are, Keystone's catalogue says, which is the operator's: their addresses may be private. The caller's
/// token goes there and nowhere else, for redirects are not followed.</remarks>
internal sealed class RemoteGlance(
    KeystoneClient? keystone, OutboundClient outbound, TimeProvider clock, IOptions<RegistryOptions> options)
{
    private const int DescriptionBytesMax = 1 << 20;

    private const string UnknownRegion = "region_unknown";

    private readonly string[] _prefixes = OutboundSection.Split(options.Value.Import.RemoteProperties);

    /// <summary>Finds an image.</summary>
    /// <param name="source">Where.</param>
    /// <param name="token">The caller's own token.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">BadRequest: there is no such region or image, or its service does not answer as
    /// it should. Forbidden: the caller may not have it there. Conflict: it has no bytes there.</exception>
    public async Task<RemoteImage> FindAsync(GlanceSource source, string token, CancellationToken cancellationToken)
    {
        var catalogue = keystone is null || token.Length == 0
            ? throw ImageRules.Bad("There is no catalogue of other regions here.")
            : await keystone.CatalogueAsync(token, cancellationToken);
        var endpoint = ServiceCatalogue.FindImages(catalogue, source.Region, source.Interface)
            ?? throw Failed(
                $"the catalogue has no {source.Interface} image service of region '{ImageRules.Shown(source.Region)}'",
                UnknownRegion);
        var description = await DescribeAsync(
            source, RemoteImage.UrlOf(endpoint.AbsoluteUri, source.ImageId), token, cancellationToken);
        var status = Text(description, "status");
        if (status != "active")
        {
            throw new RegistryException(
                ErrorCode.Conflict, $"Source image status should be active instead of {ImageRules.Shown(status ?? "none")}",
                "source_not_active");
        }

        return new RemoteImage(
            source,
            endpoint.AbsoluteUri,
            Text(description, "disk_format"),
            Text(description, "container_format"),
            description.TryGetProperty("size", out var size) && size.TryGetInt64(out var bytes) ? bytes : null,
            Text(description, "checksum")?.ToLowerInvariant(),
            Text(description, "os_hash_algo"),
            Text(description, "os_hash_value")?.ToLowerInvariant(),
            Properties(description));
    }

    /// <summary>Whether it is the other region that is the reason of a refusal.</summary>
    public static bool IsElsewhere(RegistryException refusal) =>
        refusal.Reason == UnknownRegion || refusal.Reason?.StartsWith("source_", StringComparison.Ordinal) == true;

    /// <summary>Opens an image's bytes; they are compared with the image's own hash while they are read.</summary>
    /// <param name="image">The image.</param>
    /// <param name="token">The token of whoever asked for it.</param>
    /// <param name="progress">Hears how many bytes have come.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">BadRequest: they cannot be had (any more), or not be verified.</exception>
    public async Task<CheckedBody> OpenAsync(
        RemoteImage image, string token, Action<long> progress, CancellationToken cancellationToken)
    {
        var source = new DownloadSource(
            (range, _, stop) => AskAsync(image.Source, image.FileUrl, token, range, stop), IsImmutable: true);
        var body = await WebDownload.OpenAsync(
            source, options.Value.Outbound, clock, progress, cancellationToken);
        try
        {
            return body.Length is { } length && image.Size is { } size && length != size
                ? throw Failed($"it sends {length} bytes of {size}", "source_size")
                : CheckedBody.OfImage(body, image.Checksum, image.Algorithm, image.Hash);
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    private async Task<JsonElement> DescribeAsync(
        GlanceSource source, Uri url, string token, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await AskAsync(source, url, token, range: null, cancellationToken);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                throw Failed($"it answers {(int)response.StatusCode}", "source_failed");
            }

            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(options.Value.Outbound.Patience);
            await response.Content.LoadIntoBufferAsync(DescriptionBytesMax, patience.Token);
            var bytes = await response.Content.ReadAsByteArrayAsync(patience.Token);
            using var document = JsonDocument.Parse(bytes);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? document.RootElement.Clone()
                : throw Failed("it describes no image", "source_failed");
        }
        catch (Exception e) when (e is HttpRequestException or TimeoutException or IOException or JsonException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw Failed("it does not answer as it should", "source_failed", e);
        }
    }

    private async Task<HttpResponseMessage> AskAsync(
        GlanceSource source,
        Uri url,
        string token,
        System.Net.Http.Headers.RangeHeaderValue? range,
        CancellationToken cancellationToken)
    {
        var response = await outbound.GetTrustedAsync(url, token, range, cancellationToken);
        if (Refusal(source, response.StatusCode) is { } refusal)
        {
            response.Dispose();
            throw refusal;
        }

        return response;
    }

    private static RegistryException? Refusal(GlanceSource source, HttpStatusCode status) => status switch
    {
        HttpStatusCode.Unauthorized => Failed("it does not accept the token, which may have expired", "source_token"),
        HttpStatusCode.Forbidden => new RegistryException(
            ErrorCode.Forbidden, $"Image {source.ImageId} may not be read in region '{source.Region}'.",
            "source_forbidden"),
        HttpStatusCode.NotFound or HttpStatusCode.Gone =>
            Failed($"there is no image {source.ImageId} in region '{source.Region}'", "source_not_found"),
        HttpStatusCode.NoContent =>
            Failed($"image {source.ImageId} in region '{source.Region}' has no data", "source_empty"),
        >= HttpStatusCode.MultipleChoices and < HttpStatusCode.BadRequest =>
            Failed("it redirects, and a token goes nowhere else", "source_redirects"),
        _ => null,
    };

    // What images have of themselves is not taken over, and what a server keeps is nobody's to set.
    private Dictionary<string, string> Properties(JsonElement description) => description.EnumerateObject()
        .Where(member => member.Value.ValueKind == JsonValueKind.String
            && _prefixes.Any(prefix => member.Name.StartsWith(prefix, StringComparison.Ordinal))
            && !ImageAttributes.IsBase(member.Name)
            && !member.Name.StartsWith("os_glance", StringComparison.Ordinal))
        .ToDictionary(member => member.Name, member => member.Value.GetString()!);

    private static string? Text(JsonElement description, string name) =>
        description.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private static RegistryException Failed(string why, string reason, Exception? cause = null) => new(
        ErrorCode.BadRequest,
        string.Create(CultureInfo.InvariantCulture, $"The download from the other image service failed: {why}."), reason,
        cause);
}
