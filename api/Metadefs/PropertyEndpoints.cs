using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Storage.Domain;
using Registry.Storage.Domain.Metadefs;

namespace Registry.Api.Metadefs;

/// <summary>/v2/metadefs/namespaces/{ns}/properties.</summary>
internal static class PropertyEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapProperties(this IEndpointRouteBuilder v2)
    {
        const string All = "/metadefs/namespaces/{ns}/properties";
        const string One = All + "/{property}";
        v2.MapGet(All, ListAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost(All, AddAsync);
        v2.MapDelete(All, ClearAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet(One, ShowAsync).AddEndpointFilter(RequestAddress.RequireQuery);
        v2.MapPut(One, ReplaceAsync);
        v2.MapDelete(One, RemoveAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        var (definitions, isShown) = await commands.GetForListAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), "get_metadef_properties", "get_metadef_property",
            context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json =>
        {
            json.WriteStartObject();
            MetadefJson.Write(json, isShown ? definitions.Properties : []);
            json.WriteEndObject();
        });
    }

    private static async Task AddAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var (name, schema) = MetadefReader.Property(body.RootElement);
        var property = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["add_metadef_property"],
            (definitions, now) => definitions.AddProperty(name, schema, now), context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, property), StatusCodes.Status201Created);
    }

    private static async Task ClearAsync(HttpContext context, string ns, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["delete_metadef_namespace"],
            (definitions, _) =>
            {
                definitions.ClearProperties();
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ShowAsync(HttpContext context, string ns, string property, MetadefCommands commands)
    {
        var type = context.Request.Query["resource_type"].LastOrDefault();
        string[] rules = type is null ? ["get_metadef_property"] : ["get_metadef_property", "get_metadef_resource_type"];
        var definitions = await commands.GetAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), rules, context.RequestAborted);
        var found = Find(definitions, NamespaceEndpoints.Name(property), type);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, found));
    }

    private static async Task ReplaceAsync(HttpContext context, string ns, string property, MetadefCommands commands)
    {
        using var body = await RequestBody.ReadJsonAsync(context);
        var (name, schema) = MetadefReader.Property(body.RootElement);
        var replaced = await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["modify_metadef_property"],
            (definitions, now) =>
                definitions.ReplaceProperty(NamespaceEndpoints.Name(property), name, schema, now),
            context.RequestAborted);
        await MetadefJson.AnswerAsync(context, json => MetadefJson.Write(json, replaced));
    }

    private static async Task RemoveAsync(HttpContext context, string ns, string property, MetadefCommands commands)
    {
        await commands.ChangeAsync(
            Caller.Of(context), NamespaceEndpoints.Name(ns), ["remove_metadef_property"],
            (definitions, _) =>
            {
                definitions.RemoveProperty(NamespaceEndpoints.Name(property));
                return definitions;
            },
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    // Asked for as it is called on a type of resources, a property has that type's prefix.
    private static MetadefProperty Find(MetadefNamespace definitions, string name, string? type)
    {
        if (type is null)
        {
            return definitions.FindProperty(name);
        }

        var prefix = definitions.FindAssociation(type).Prefix;
        return !string.IsNullOrEmpty(prefix) && name.StartsWith(prefix, StringComparison.Ordinal)
            ? definitions.FindProperty(name[prefix.Length..])
            : throw new RegistryException(
                ErrorCode.NotFound,
                $"Property {ImageRules.Shown(name)} does not begin with '{prefix}', as those of {type} do.");
    }
}
