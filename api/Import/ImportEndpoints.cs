using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.ImageData;

namespace Registry.Api.Import;

/// <summary>PUT /v2/images/{id}/stage, POST /v2/images/{id}/import, GET /v2/info/import (spec/glance-v2.md, 5).</summary>
internal static class ImportEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapImports(this IEndpointRouteBuilder v2)
    {
        v2.MapPut("/images/{id}/stage", StageAsync);
        v2.MapPost("/images/{id}/import", StartAsync);
        v2.MapGet("/info/import", DescribeAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task StageAsync(HttpContext context, string id, ImportCommands imports)
    {
        await imports.StageAsync(
            Caller.Of(context), id, ImageDataEndpoints.ReadBody(context), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task StartAsync(HttpContext context, string id, ImportCommands imports)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        await imports.StartAsync(
            Caller.Of(context),
            id,
            ImportRequest.Read(body.RootElement, imports.Methods),
            context.Request.Headers["X-Image-Meta-Store"].ToString(),
            context.Request.Headers["X-Auth-Token"].ToString(),
            context.TraceIdentifier,
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status202Accepted;
    }

    private static async Task DescribeAsync(HttpContext context, ImportCommands imports)
    {
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartObject("import-methods"u8);
        json.WriteString("description"u8, "Import methods available.");
        json.WriteString("type"u8, "array");
        json.WriteStartArray("value"u8);
        foreach (var method in imports.Methods)
        {
            json.WriteStringValue(method);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
