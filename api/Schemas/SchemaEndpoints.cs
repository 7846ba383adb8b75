using System.Text.Json.Nodes;

namespace Registry.Api.Schemas;

/// <summary>GET /v2/schemas/…: documents made once.</summary>
public static class SchemaEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapSchemas(this IEndpointRouteBuilder v2)
    {
        var custom = v2.ServiceProvider.GetRequiredService<CustomProperties>();
        Map(v2, "image", ImageSchema.Image(custom));
        Map(v2, "images", ImageSchema.Images(custom));
        Map(v2, "member", ImageSchema.Member());
        Map(v2, "members", ImageSchema.Members());
        Map(v2, "task", TaskSchema.Task());
        Map(v2, "tasks", TaskSchema.Tasks());
        foreach (var (name, schema) in MetadefSchema.All())
        {
            Map(v2, $"metadefs/{name}", schema);
        }
    }

    private static void Map(IEndpointRouteBuilder v2, string name, JsonObject schema)
    {
        var text = schema.ToJsonString();
        v2.MapGet($"/schemas/{name}", () => Results.Text(text, "application/json"))
            .AddEndpointFilter(RequestBody.Refuse);
    }
}
