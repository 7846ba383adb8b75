using System.Text.Json;
using Registry.Api.Auth;

namespace Registry.Api.Locations;

/// <summary>POST and GET /v2/images/{id}/locations (spec/glance-v2.md, 4.2). The older way goes through PATCH.</summary>
internal static class LocationEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapLocations(this IEndpointRouteBuilder v2)
    {
        v2.MapPost("/images/{id}/locations", AddAsync);
        v2.MapGet("/images/{id}/locations", ListAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task AddAsync(HttpContext context, string id, LocationCommands locations)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        await locations.AddAsync(
            Caller.Of(context), id, NewLocation.ReadPost(body.RootElement), context.TraceIdentifier,
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status202Accepted;
    }

    private static async Task ListAsync(
        HttpContext context, string id, LocationCommands locations, LocationViews views)
    {
        var found = await locations.ListAsync(Caller.Of(context), id, context.RequestAborted);
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        views.WriteList(json, found);
    }
}
