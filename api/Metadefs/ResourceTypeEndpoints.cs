using Registry.Api.Auth;

namespace Registry.Api.Metadefs;

/// <summary>/v2/metadefs/resource_types and /v2/metadefs/namespaces/{ns}/resource_types.</summary>
internal static class ResourceTypeEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapResourceTypes(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/metadefs/resource_types", ListAllAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet("/metadefs/namespaces/{ns}/resource_types", ListAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost("/metadefs/namespaces/{ns}/resource_types", AssociateAsync);
        v2.MapDelete("/metadefs/namespaces/{ns}/resource_types/{type}", DissociateAsync)
            .AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAllAsync(HttpContext context, MetadefCommands commands)
    {
        var types = await commands.ListResourceTypesAsync(Caller.Of(context), context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("resource_types"u8);
            foreach (var type in types)
            {
                MetadefJson.Write(json, type);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static async Task ListAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        var (definitions, isShown) = await commands.GetForListAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), "list_metadef_resource_types", "get_metadef_resource_type",
            context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("resource_type_associations"u8);
            var associations = isShown ? definitions.Associations : [];
            foreach (var association in associations.OrderBy(a => a.Name, StringComparer.Ordinal))
            {
                MetadefJson.Write(json, association);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static async Task AssociateAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var draft = MetadefReader.Association(body.RootElement);
        var association = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["add_metadef_resource_type_association"],
            (definitions, now) => definitions.Associate(draft.Name, draft.Prefix, draft.PropertiesTarget, now),
            context.RequestAborted);
        await MetadefJson.AnswerAsync(
            context, json => MetadefJson.Write(json, association), StatusCodes.Status201Created);
    }

    private static async Task DissociateAsync(HttpContext context, string ns, string type, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["remove_metadef_resource_type_association"],
            (definitions, _) =>
            {
                definitions.Dissociate(NamespaceEndpoints.Name(type));
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
