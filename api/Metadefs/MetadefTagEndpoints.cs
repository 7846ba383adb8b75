using Registry.Api.Auth;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Metadefs;

/// <summary>/v2/metadefs/namespaces/{ns}/tags.</summary>
internal static class MetadefTagEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapMetadefTags(this IEndpointRouteBuilder v2)
    {
        const string All = "/metadefs/namespaces/{ns}/tags";
        const string One = All + "/{tag}";
        v2.MapGet(All, ListAsync).AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPost(All, AddManyAsync);
        v2.MapDelete(All, ClearAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet(One, ShowAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost(One, AddAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPut(One, RenameAsync);
        v2.MapDelete(One, RemoveAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        var (definitions, isShown) = await commands.GetForListAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), "get_metadef_tags", "get_metadef_tag",
            context.RequestAborted);
        var (page, hasMore) = MetadefListQuery.TagPage(context.Request.Query, definitions);
        (page, hasMore) = isShown ? (page, hasMore) : ([], false);
        await MetadefJson.AnswerAsync(context, json =>
        {
            json.WriteStartObject();
            MetadefJson.Write(json, page);
            if (hasMore)
            {
                json.WriteString("next"u8, PageLink.Of(context.Request.Path.ToUriComponent(), context.Request, page[^1].Name));
            }

            json.WriteEndObject();
        });
    }

    // Tags that were there go, unless the client says that it appends.
    private static async Task AddManyAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var names = MetadefReader.Tags(body.RootElement);
        var isAppended = context.Request.Headers["X-Openstack-Append"].ToString()
            .Equals("true", StringComparison.OrdinalIgnoreCase);
        var tags = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["add_metadef_tags"],
            (definitions, now) =>
            {
                if (isAppended)
                {
                    foreach (var name in names)
                    {
                        definitions.AddTag(name, now);
                    }
                }
                else
                {
                    definitions.ReplaceTags(names, now);
                }

                return (MetadefTag[])[.. names.Select(definitions.FindTag)];
            },
            context.RequestAborted);
        await MetadefJson.AnswerAsync(
            context,
            json =>
            {
                json.WriteStartObject();
                MetadefJson.Write(json, tags);
                json.WriteEndObject();
            },
            StatusCodes.Status201Created);
    }

    private static async Task ClearAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["delete_metadef_namespace", "delete_metadef_tags"],
            (definitions, _) =>
            {
                definitions.ClearTags();
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ShowAsync(HttpContext context, string ns, string tag, MetadefCommands commands)
    {
        var definitions = await commands.GetAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["get_metadef_tag"], context.RequestAborted);
        var found = definitions.FindTag(NamespaceEndpoints.Name(tag));
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, found));
    }

    private static async Task AddAsync(HttpContext context, string ns, string tag, MetadefCommands commands)
    {
        var name = MetadefFields.Name("tag name", NamespaceEndpoints.Name(tag));
        var added = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["add_metadef_tag"],
            (definitions, now) => definitions.AddTag(name, now), context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, added), StatusCodes.Status201Created);
    }

    private static async Task RenameAsync(HttpContext context, string ns, string tag, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var name = MetadefReader.Tag(body.RootElement);
        var renamed = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["modify_metadef_tag"],
            (definitions, now) => definitions.RenameTag(NamespaceEndpoints.Name(tag), name, now),
            context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, renamed));
    }

    private static async Task RemoveAsync(HttpContext context, string ns, string tag, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["delete_metadef_tag"],
            (definitions, _) =>
            {
                definitions.RemoveTag(NamespaceEndpoints.Name(tag));
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
