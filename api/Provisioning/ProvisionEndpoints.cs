using Registry.Api.Auth;
using Registry.Api.Jobs;
using Registry.Api.Versions;

namespace Registry.Api.Provisioning;

/// <summary>POST /registry/v1/provisions: the server makes a disk of an image.</summary>
internal static class ProvisionEndpoints
{
    /// <summary>Lists the route.</summary>
    public static void MapProvisions(this IEndpointRouteBuilder v1) => v1.MapPost("/provisions", StartAsync)
        .Describe(
            "Starts a job that makes a disk of an image. Body: image_id, name, and format, size, and target or store.");

    private static async Task StartAsync(HttpContext context, ProvisionCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var job = await commands.StartAsync(
            Caller.Of(context), ProvisionOrder.Read(body.RootElement), context.TraceIdentifier, context.RequestAborted);
        await JobJson.WriteAsync(context, StatusCodes.Status202Accepted, job);
    }
}
