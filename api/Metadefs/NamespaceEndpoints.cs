using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Versions;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Metadefs;

/// <summary>/v2/metadefs/namespaces (spec/glance-v2.md, 11).</summary>
internal static class NamespaceEndpoints
{
    private static readonly string[] ToShow =
    [
        "get_metadef_namespace", "list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties",
        "get_metadef_tags",
    ];

    /// <summary>Lists the routes of metadata definitions.</summary>
    public static void MapMetadefs(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/metadefs/namespaces", ListAsync).AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPost("/metadefs/namespaces", CreateAsync);
        v2.MapGet("/metadefs/namespaces/{ns}", ShowAsync).AddEndpointFilter(RequestBody.Refuse)
            .AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPut("/metadefs/namespaces/{ns}", ReplaceAsync);
        v2.MapDelete("/metadefs/namespaces/{ns}", DeleteAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapResourceTypes();
        v2.MapProperties();
        v2.MapObjects();
        v2.MapMetadefTags();
    }

    /// <summary>A name in an address: a slash stays encoded in a path segment.</summary>
    public static string Name(string segment) => segment.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    private static async Task ListAsync(
        HttpContext context, MetadefCommands commands, IOptions<RegistryOptions> options)
    {
        var caller = Caller.Of(context);
        var request = MetadefListQuery.Read(context.Request.Query, options.Value.Limits);
        var page = await commands.ListAsync(caller, request, context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("namespaces"u8);
            foreach (var definitions in page.Where(n => commands.IsShown(caller, n)))
            {
                MetadefJson.Write(json, definitions, isWhole: false);
            }

            json.WriteEndArray();
            json.WriteString("first"u8, PageLink.Of(context.Request.Path.ToUriComponent(), context.Request, null));
            if (page.Count > 0 && page.Count == request.Limit)
            {
                json.WriteString("next"u8, PageLink.Of(context.Request.Path.ToUriComponent(), context.Request, page[^1].Name));
            }

            json.WriteString("schema"u8, "/v2/schemas/metadefs/namespaces");
            json.WriteEndObject();
        });
    }

    private static async Task CreateAsync(HttpContext context, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var draft = MetadefReader.Namespace(body.RootElement);
        var definitions = await commands.CreateAsync(Caller.Of(context), draft, context.RequestAborted);
        context.Response.Headers.Location =
            $"{VersionEndpoints.Base(context)}{MetadefJson.Path(definitions.Name)}";
        await MetadefJson.AnswerAsync(
            context, json => NewNamespaceJson.Write(json, definitions, draft, body.RootElement),
            StatusCodes.Status201Created);
    }

    private static async Task ShowAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        var definitions = await commands.GetAsync(Caller.Of(context), Name(ns), ToShow, context.RequestAborted);
        await MetadefJson.AnswerAsync(
            context, json => MetadefJson.Write(json, definitions, isWhole: true, Prefix(context, definitions)));
    }

    private static async Task ReplaceAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var draft = MetadefReader.Namespace(body.RootElement);
        var definitions = await commands.ReplaceAsync(Caller.Of(context), Name(ns), draft, context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, definitions, () => { }));
    }

    private static async Task DeleteAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        await commands.DeleteAsync(Caller.Of(context), Name(ns), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    // For a type of resources that the namespace is not for, names are shown as they are.
    private static string Prefix(HttpContext context, MetadefNamespace definitions)
    {
        var type = context.Request.Query["resource_type"].LastOrDefault();
        return definitions.Associations.FirstOrDefault(a => a.Name == type)?.Prefix ?? "";
    }
}
