using Registry.Api.Auth;

namespace Registry.Api.Metadefs;

/// <summary>/v2/metadefs/namespaces/{ns}/objects.</summary>
internal static class ObjectEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapObjects(this IEndpointRouteBuilder v2)
    {
        const string All = "/metadefs/namespaces/{ns}/objects";
        const string One = All + "/{definition}";
        v2.MapGet(All, ListAsync).AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPost(All, AddAsync);
        v2.MapDelete(All, ClearAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet(One, ShowAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPut(One, ReplaceAsync);
        v2.MapDelete(One, RemoveAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        var (definitions, isShown) = await commands.GetForListAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), "get_metadef_objects", "get_metadef_object",
            context.RequestAborted);
        var (page, hasMore) = MetadefListQuery.Page(context.Request.Query, definitions);
        (page, hasMore) = isShown ? (page, hasMore) : ([], false);
        await MetadefJson.AnswerAsync(context, json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("objects"u8);
            foreach (var definition in page)
            {
                MetadefJson.Write(json, definitions, definition);
            }

            json.WriteEndArray();
            if (hasMore)
            {
                json.WriteString("next"u8, PageLink.Of(context.Request.Path.ToUriComponent(), context.Request, page[^1].Name));
            }

            json.WriteString("schema"u8, "v2/schemas/metadefs/objects"); // as Glance has it, without a slash
            json.WriteEndObject();
        });
    }

    private static async Task AddAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var content = MetadefReader.Object(body.RootElement);
        var (definitions, added) = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["add_metadef_object"],
            (definitions, now) => (definitions, definitions.AddObject(content, now)), context.RequestAborted);
        await MetadefJson.AnswerAsync(
            context, json => MetadefJson.Write(json, definitions, added, isAsGiven: true), StatusCodes.Status201Created);
    }

    private static async Task ClearAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["delete_metadef_namespace"],
            (definitions, _) =>
            {
                definitions.ClearObjects();
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ShowAsync(HttpContext context, string ns, string definition, MetadefCommands commands)
    {
        var definitions = await commands.GetAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["get_metadef_object"], context.RequestAborted);
        var found = definitions.FindObject(NamespaceEndpoints.Name(definition));
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, definitions, found));
    }

    private static async Task ReplaceAsync(HttpContext context, string ns, string definition, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var content = MetadefReader.Object(body.RootElement);
        var (definitions, replaced) = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["modify_metadef_object"],
            (definitions, now) =>
                (definitions, definitions.ReplaceObject(NamespaceEndpoints.Name(definition), content, now)),
            context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, definitions, replaced, isAsGiven: true));
    }

    private static async Task RemoveAsync(HttpContext context, string ns, string definition, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["delete_metadef_object"],
            (definitions, _) =>
            {
                definitions.RemoveObject(NamespaceEndpoints.Name(definition));
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
