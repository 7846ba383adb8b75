using System.Net;
using System.Text.Json;
using Microsoft.Extensions.Options;

namespace Registry.Api.Versions;

/// <summary>GET /registry/v1: what this server is, and where its gRPC is (DESIGN.md, "Surface").</summary>
public static class DescriptionEndpoint
{
    private static readonly string[] Features = ["images", "provisioning", "jobs"];

    /// <summary>Lists the route.</summary>
    public static void MapDescription(this IEndpointRouteBuilder routes) => routes.MapGet("", DescribeAsync)
        .Describe("What this server is, and where its gRPC is.");

    private static async Task DescribeAsync(HttpContext context)
    {
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteString("name"u8, "registry");
        json.WriteString("version"u8, typeof(RegistryServer).Assembly.GetName().Version!.ToString(3));
        json.WriteString("grpc"u8, GrpcAddress(context));
        json.WriteStartArray("features"u8);
        foreach (var feature in Features)
        {
            json.WriteStringValue(feature);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string GrpcAddress(HttpContext context)
    {
        var options = context.RequestServices.GetRequiredService<IOptions<RegistryOptions>>().Value;
        if (options.PublicGrpcEndpoint.Length > 0)
        {
            return options.PublicGrpcEndpoint;
        }

        var listens = new Uri(RegistryServer.Addresses(context.RequestServices)[(int)Listener.Grpc]);
        return Callable(listens, context.Request.Host).GetLeftPart(UriPartial.Authority);
    }

    /// <summary>An address to call, made of one to listen on and the name by which the caller reached this
    /// server.</summary>
    internal static Uri Callable(Uri listens, HostString reached)
    {
        var everywhere = IPAddress.TryParse(listens.DnsSafeHost, out var address)
            && (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any));
        return everywhere ? new UriBuilder(listens) { Host = reached.Host }.Uri : listens;
    }
}
