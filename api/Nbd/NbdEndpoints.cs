using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Provisioning;
using Registry.Api.Versions;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>POST /registry/v1/images/{id}/nbd: a ticket by which an NBD client opens the image's disk.</summary>
internal static class NbdEndpoints
{
    /// <summary>Lists the route.</summary>
    public static void MapNbd(this IEndpointRouteBuilder v1) => v1.MapPost("/images/{id}/nbd", IssueAsync)
        .Describe("Issues a ticket by which an NBD client opens the image's disk. Body, if any: overlay, keep_as.");

    // Who is refused the disk by HTTP is refused a ticket alike; opening it judges again.
    private static async Task IssueAsync(
        HttpContext context, string id, StoredDisks disks, NbdTickets tickets, NbdKeeper keeper,
        IOptions<RegistryOptions> options)
    {
        var order = await NbdOrder.ReadAsync(context);
        var caller = Caller.Of(context);
        await using (await disks.OpenAsync(caller, id, context.RequestAborted))
        {
            // It can be read.
        }

        if (options.Value.Endpoints.Nbd.Length == 0)
        {
            throw new RegistryException(
                ErrorCode.Conflict, "This server does not export disks over NBD.", "nbd_not_served");
        }

        if (order.KeepAs is not null)
        {
            keeper.Require(caller, order.KeepAs);
        }

        var permit = new NbdPermit(caller, id, IsById: true, order.IsOverlay) { KeepAs = order.KeepAs };
        var (name, expiresAt) = tickets.Issue(permit);
        context.Response.StatusCode = StatusCodes.Status201Created;
        context.Response.ContentType = "application/json";
        context.Response.Headers.CacheControl = "no-store";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteString("uri"u8, $"{Address(context, options.Value)}/{name}");
        json.WriteString("export"u8, name);
        json.WriteString("expires_at"u8, ImageJson.Time(expiresAt));
        json.WriteEndObject();
    }

    /// <summary>Where this process is reached by NBD: no other one knows the ticket.</summary>
    private static string Address(HttpContext context, RegistryOptions options)
    {
        var address = options.PublicNbdEndpoint.Length > 0
            ? new Uri(options.PublicNbdEndpoint)
            : DescriptionEndpoint.Callable(
                new Uri(RegistryServer.Addresses(context.RequestServices)[(int)Listener.Nbd]), context.Request.Host);
        var scheme = options.Tls.HasCertificate ? EndpointsSection.NbdWithTlsScheme : EndpointsSection.NbdScheme;
        return $"{scheme}://{address.Authority}";
    }
}
