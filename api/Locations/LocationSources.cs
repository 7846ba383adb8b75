using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.ImageData;
using Registry.Api.Import;
using Registry.Api.Outbound;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>What the URL of a location names.</summary>
/// <param name="Store">The store that it is in.</param>
/// <param name="Web">The address to fetch; null for an object in a bucket.</param>
/// <param name="Object">The object's name; null for an address.</param>
internal sealed record LocationSource(ConfiguredStore Store, Uri? Web, string? Object);

/// <summary>Which URLs may become locations: those of the configured stores, and there only what is no part of a
/// blob.</summary>
/// <remarks>The bytes are taken over into a store as a blob of the image's own. So what the URL names may change or go
/// afterwards, and no reader ever gets bytes that were not verified. A file of this machine cannot be named at all, and
/// blobs cannot: whose they are, the URL does not say.</remarks>
internal sealed class LocationSources(
    StoreSet stores, OutboundClient outbound, PolicyEngine policy, TimeProvider clock, IOptions<RegistryOptions> options)
{
    /// <summary>The refusal of a URL that names nothing that may be a location. It says nothing about what is
    /// where.</summary>
    public static RegistryException Refusal => new(ErrorCode.BadRequest, "Invalid location", "location_not_allowed");

    /// <summary>Finds what a URL names.</summary>
    /// <exception cref="RegistryException">BadRequest: nothing that may be a location.</exception>
    public LocationSource Resolve(string url)
    {
        // Parsers disagree about all of these, and no name that may be adopted needs them.
        var isPlain = url.All(c => c is > ' ' and < '\x7f' and not ('\\' or '%' or '?' or '#' or '@'));
        if (!isPlain || !Uri.TryCreate(url, UriKind.Absolute, out var uri) || !HasPlainPath(url))
        {
            throw Refusal;
        }

        return uri.Scheme switch
        {
            "http" or "https" => OnTheWeb(uri),
            "s3" or "s3+http" or "s3+https" => InABucket(uri),
            _ => throw Refusal,
        };
    }

    /// <summary>Refuses what only services and administrators may name: anything that is not on the web, for a bucket
    /// holds what other projects' services put there.</summary>
    /// <exception cref="RegistryException">Forbidden; BadRequest for a kind of place that nobody may name.</exception>
    public void RequireMayName(Caller caller, string url)
    {
        var isWeb = IsOf(url, "http", "https");
        if (!isWeb && !IsOf(url, "s3", "s3+http", "s3+https"))
        {
            throw Refusal;
        }

        var mayName = caller.IsAdmin || policy.Allows(caller, "service_api", PolicyTarget.None)
            || (isWeb && stores.All.Any(store => store.Settings.Kind == "http"));
        if (!mayName)
        {
            throw new RegistryException(
                ErrorCode.Forbidden, "Only services may add locations of this kind.", "location_not_allowed");
        }
    }

    /// <summary>The store that the bytes of a location are taken over into.</summary>
    public IBlobStore TargetOf(LocationSource source) =>
        source.Store.Settings.TakesUploads ? source.Store.Blobs : stores.Default;

    /// <summary>Opens the bytes of a location; they are compared with what it says of them while they are read.</summary>
    /// <param name="location">The location.</param>
    /// <param name="progress">Hears how many bytes were read.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">BadRequest: it is not allowed (any more), or there is nothing.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    public async Task<CheckedBody> OpenAsync(
        NewLocation location, Action<long> progress, CancellationToken cancellationToken)
    {
        var source = Resolve(location.Url);
        IUploadBody body = source.Web is { } address
            ? await WebDownload.OpenAsync(
                DownloadSource.OfUrl(outbound, address), options.Value.Outbound, clock, progress, cancellationToken)
            : await ObjectBody.OpenAsync((IObjectSource)source.Store.Blobs, source.Object!, progress, cancellationToken);
        return new CheckedBody(body, location);
    }

    private LocationSource OnTheWeb(Uri uri)
    {
        foreach (var store in stores.All.Where(store => store.Settings.Kind == "http"))
        {
            var endpoint = new Uri(store.Settings.Endpoint.TrimEnd('/') + "/");
            var isBelow = uri.Scheme == endpoint.Scheme && uri.Authority == endpoint.Authority
                && uri.AbsolutePath.StartsWith(endpoint.AbsolutePath, StringComparison.Ordinal);
            if (isBelow && IsNoBlob(uri.AbsolutePath[endpoint.AbsolutePath.Length..]))
            {
                return new LocationSource(store, outbound.Urls.Read(uri.AbsoluteUri), Object: null);
            }
        }

        throw Refusal;
    }

    private static bool IsOf(string url, params ReadOnlySpan<string> schemes)
    {
        foreach (var scheme in schemes)
        {
            if (url.StartsWith(scheme + "://", StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }

        return false;
    }

    // s3://HOST/BUCKET/NAME, as Glance writes it but without the keys.
    private LocationSource InABucket(Uri uri)
    {
        foreach (var store in stores.All.Where(store => store.Settings.Kind == "s3"))
        {
            var (settings, endpoint) = (store.Settings, new Uri(store.Settings.Endpoint));
            var bucket = $"/{settings.Bucket}/";
            var isThere = uri.Authority.Equals(endpoint.Authority, StringComparison.OrdinalIgnoreCase)
                && (uri.Scheme == "s3" || uri.Scheme == "s3+" + endpoint.Scheme)
                && uri.AbsolutePath.StartsWith(bucket, StringComparison.Ordinal);
            var name = isThere ? uri.AbsolutePath[bucket.Length..] : "";
            if (isThere && !name.EndsWith('/') && store.Blobs is IObjectSource objects && objects.Offers(name))
            {
                return new LocationSource(store, Web: null, name);
            }
        }

        throw Refusal;
    }

    private static bool IsNoBlob(string path) =>
        path.Length > 0 && path[^1] != '/' && !path.Split('/').Any(BlobLayout.IsCanonicalId);

    // What a parser would take away is refused, so that what was judged is what is asked for.
    private static bool HasPlainPath(string url)
    {
        var start = url.IndexOf("://", StringComparison.Ordinal);
        return start > 0 && url[(start + 3)..].Split('/').All(segment => segment is not ("" or "." or ".."));
    }
}
