using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Cache;
using Registry.Api.Stores;

namespace Registry.Api.Versions;

/// <summary>The version document and the accepted version prefixes (spec/glance-v2.md, 1.1).</summary>
public static class VersionEndpoints
{
    private static readonly string[] Minors =
        ["v2.17", "v2.15", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"];

    private static readonly string[] MinorsOfManyStores =
        ["v2.17", "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", .. Minors[3..]];

    // The newer ones are the cache's API: what is advertised is what is there.
    private static readonly string[] MinorsOfCaches = ["v2.18", "v2.17", "v2.16", "v2.15", "v2.14", .. Minors[2..]];

    private static readonly string[] MinorsOfCachesAndManyStores =
        [.. MinorsOfCaches[..5], .. MinorsOfManyStores[2..]];

    private const string MediaTypeV2 = "application/vnd.openstack.images-v2";

    /// <summary>Lists the routes.</summary>
    public static void MapVersions(this IEndpointRouteBuilder routes)
    {
        routes.Map("/versions", (HttpContext context) => WriteAsync(context, StatusCodes.Status200OK));
        routes.Map("/", (HttpContext context) => WriteAsync(context, StatusCodes.Status300MultipleChoices));
        routes.Map("/v2", Redirect);
    }

    /// <summary>Rewrites <c>/v2.N/…</c> and the media-type form to <c>/v2/…</c>; answers an unknown first segment with
    /// the version document.</summary>
    public static Task NegotiateAsync(HttpContext context, RequestDelegate next)
    {
        RequestAddress.Normalize(context);
        var path = context.Request.Path.Value is { Length: > 0 } given ? given : "/"; // empty for OPTIONS * and CONNECT
        var end = path.IndexOf('/', 1);
        var first = end < 0 ? path[1..] : path[1..end];
        if (first is "v2" or "versions" or "healthcheck" or "livez" or "readyz" or "registry" or "")
        {
            return next(context);
        }

        if (MinorsFor(context).Contains(first))
        {
            context.Request.Path = "/v2" + (end < 0 ? "" : path[end..]);
            return next(context);
        }

        if (context.Request.Headers.Accept.ToString().StartsWith(MediaTypeV2, StringComparison.Ordinal))
        {
            context.Request.Path = "/v2" + path;
            return next(context);
        }

        return WriteAsync(context, StatusCodes.Status300MultipleChoices);
    }

    /// <summary>Base of absolute links: the configured endpoint, or the request's own.</summary>
    public static string Base(HttpContext context)
    {
        var configured = context.RequestServices.GetRequiredService<IOptions<RegistryOptions>>().Value.PublicEndpoint;
        return configured.Length > 0
            ? configured.TrimEnd('/')
            : $"{context.Request.Scheme}://{context.Request.Host}";
    }

    // Below its version an API has a root of its own, and Glance's redirects to it whatever the method.
    private static void Redirect(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status302Found;
        context.Response.ContentType = "text/plain; charset=utf8";
        context.Response.Headers.Location = Base(context) + "/v2/";
    }

    private static string[] MinorsFor(HttpContext context)
    {
        var services = context.RequestServices;
        return (services.GetRequiredService<StoreSet>().IsMultiple, services.GetRequiredService<LocalCache>().IsOn) switch
        {
            (false, false) => Minors,
            (true, false) => MinorsOfManyStores,
            (false, true) => MinorsOfCaches,
            (true, true) => MinorsOfCachesAndManyStores,
        };
    }

    private static async Task WriteAsync(HttpContext context, int status)
    {
        var @base = Base(context);
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartArray("versions"u8);
        var minors = MinorsFor(context);
        foreach (var minor in minors)
        {
            json.WriteStartObject();
            json.WriteString("id"u8, minor);
            json.WriteString("status"u8, minor == minors[0] ? "CURRENT" : "SUPPORTED");
            json.WriteStartArray("links"u8);
            json.WriteStartObject();
            json.WriteString("rel"u8, "self");
            json.WriteString("href"u8, @base + "/v2/");
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
