using System.Net;
using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Registry.Api.Nbd;

namespace Registry.Api;

/// <summary>Which of the server's ports a request came in by.</summary>
internal enum Listener
{
    /// <summary>Image API and extensions.</summary>
    Http,

    /// <summary>gRPC.</summary>
    Grpc,

    /// <summary>Metrics.</summary>
    Metrics,

    /// <summary>Disks by NBD; where it is wanted.</summary>
    Nbd,
}

/// <summary>Opens the ports and tells requests apart by them.</summary>
internal static class Listeners
{
    private static readonly object ItemKey = new();

    /// <summary>Opens the ports, in the order of <see cref="Listener"/>.</summary>
    public static void Open(KestrelServerOptions kestrel, RegistryOptions options)
    {
        var endpoints = options.Endpoints;
        var certificate = kestrel.ApplicationServices.GetRequiredService<ServerCertificate>();
        Open(kestrel, endpoints.Http, certificate, HttpProtocols.Http1, Listener.Http);
        Open(kestrel, endpoints.Grpc, certificate, HttpProtocols.Http2, Listener.Grpc);
        Open(kestrel, endpoints.Metrics, certificate, HttpProtocols.Http1, Listener.Metrics);
        if (endpoints.Nbd.Length > 0)
        {
            Listen(kestrel, endpoints.Nbd, listen => listen.UseConnectionHandler<NbdListener>());
        }
    }

    /// <summary>The port a request came in by.</summary>
    public static Listener Of(HttpContext context) =>
        (Listener)context.Features.Get<IConnectionItemsFeature>()!.Items[ItemKey]!;

    /// <summary>Whether a port serves a request: the gRPC port gRPC only, the metrics port nothing that gets this
    /// far.</summary>
    public static bool IsServed(HttpContext context) => Of(context) switch
    {
        Listener.Http => true,
        Listener.Grpc => IsGrpc(context.Request.ContentType),
        _ => false,
    };

    /// <summary>Refuses the routes of one port on another.</summary>
    /// <remarks>All routes are in one table. Those of gRPC are known by what they are, all others are HTTP's.</remarks>
    public static Task RequireOwnRouteAsync(HttpContext context, RequestDelegate next)
    {
        var isGrpcRoute = context.GetEndpoint()?.Metadata.GetMetadata<GrpcMethodMetadata>() is not null;
        if (isGrpcRoute == (Of(context) == Listener.Grpc))
        {
            return next(context);
        }

        context.SetEndpoint(null);
        context.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    // Not application/grpc-web, which is another protocol.
    private static bool IsGrpc(string? contentType)
    {
        const string Type = "application/grpc";
        return contentType?.StartsWith(Type, StringComparison.Ordinal) == true
            && (contentType.Length == Type.Length || contentType[Type.Length] is '+' or ';' or ' ');
    }

    private static void Open(
        KestrelServerOptions kestrel, string url, ServerCertificate certificate, HttpProtocols protocols, Listener listener)
    {
        Listen(kestrel, url, listen =>
        {
            listen.Protocols = protocols;
            if (new Uri(url).Scheme == Uri.UriSchemeHttps)
            {
                listen.UseHttps(new TlsHandshakeCallbackOptions
                {
                    OnConnection = _ => ValueTask.FromResult(certificate.Options),
                });
            }

            listen.Use(next => connection =>
            {
                connection.Items[ItemKey] = listener;
                return next(connection);
            });
        });
    }

    private static void Listen(KestrelServerOptions kestrel, string url, Action<ListenOptions> configure)
    {
        var uri = new Uri(url);
        var address = uri.Host == "localhost" ? IPAddress.Loopback : IPAddress.Parse(uri.DnsSafeHost);
        kestrel.Listen(address, uri.Port >= 0 ? uri.Port : EndpointsSection.NbdPort, configure);
    }
}
