using System.Net;
using Microsoft.Net.Http.Headers;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Keeps web pages from acting as the administrator that every caller is with kind <c>none</c>: refuses names
/// that are not this server's, origins other than its own, and JSON that a page can send without a preflight.</summary>
/// <remarks>A browser lets a page of any site send requests to this machine. A name that an attacker's DNS server points
/// to this machine makes such a page even one of the same origin; the header Host still has that name.</remarks>
internal sealed class BrowserGate
{
    private const string Localhost = "localhost";

    private readonly HashSet<string> _names = new(StringComparer.OrdinalIgnoreCase) { Localhost };
    private readonly HashSet<string> _origins;
    private readonly bool _takesAllOrigins;

    /// <summary>Reads which names and origins are the operator's.</summary>
    public BrowserGate(RegistryOptions options)
    {
        _names.UnionWith(options.Auth.AllowedHosts);
        var (http, grpc) = (options.Endpoints.Http, options.Endpoints.Grpc);
        foreach (var url in new[] { options.PublicEndpoint, options.PublicGrpcEndpoint, http, grpc })
        {
            if (Uri.TryCreate(url, UriKind.Absolute, out var uri))
            {
                _names.Add(uri.Host);
            }
        }

        _origins = options.Cors.AllowedOrigins.Select(origin => origin.TrimEnd('/'))
            .ToHashSet(StringComparer.OrdinalIgnoreCase);
        _takesAllOrigins = options.Cors.AllowsAll;
    }

    /// <summary>Refuses a request under a name that is not this server's, and one from a page of another origin.</summary>
    /// <exception cref="RegistryException">BadRequest for the name, Forbidden for the origin.</exception>
    public void Require(HttpRequest request)
    {
        if (!IsOwn(request.Host.Host))
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"The server does not answer under the name '{ImageRules.Shown(request.Host.Host)}': " +
                "Registry:Auth:AllowedHosts does not have it.",
                "host_not_allowed");
        }

        var origin = request.Headers.Origin;
        if (origin.Count > 0 && !(origin.Count == 1 && IsAllowed(origin[0] ?? "", request.Host)))
        {
            throw new RegistryException(
                ErrorCode.Forbidden, "Requests of web pages of other origins are not allowed.", "origin_not_allowed");
        }
    }

    /// <summary>Refuses a body that does not say that it is JSON. A page can send no such body to another origin without
    /// a preflight, which the server refuses.</summary>
    /// <exception cref="RegistryException">UnsupportedMedia.</exception>
    public static void RequireJson(HttpRequest request)
    {
        var isJson = MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
            && (type.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase)
                || ImagePatch.IsMediaType(type.MediaType.Value?.ToLowerInvariant()));
        if (!isJson)
        {
            throw new RegistryException(ErrorCode.UnsupportedMedia, "Content type must be application/json.");
        }
    }

    private bool IsOwn(string host) =>
        _names.Contains(host) || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));

    private bool IsAllowed(string origin, HostString host) =>
        _takesAllOrigins || _origins.Contains(origin)
        || (Uri.TryCreate(origin, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
            && uri.Authority.Equals(host.Value, StringComparison.OrdinalIgnoreCase));
}
