using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Versions;
using Registry.Storage.Domain;

namespace Registry.Api.Cache;

/// <summary>/v2/cache, and the older /v2/cached_images and /v2/queued_images (spec/glance-v2.md, 2). About the cache of
/// the process that answers.</summary>
internal static class CacheEndpoints
{
    private const string Manage = "manage_image_cache";
    private const string Delete = "cache_delete";
    private const string TargetHeader = "x-image-cache-clear-target";

    /// <summary>Lists the routes.</summary>
    public static void MapCache(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/cache", ListAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapDelete("/cache", Clear).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPut("/cache/{id}", QueueAsync);
        v2.MapDelete("/cache/{id}", DropAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet("/cache/nodes/{id}", ListNodesAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPost("/cache/clean", CleanAsync);
        v2.MapPost("/cache/prune", PruneAsync);
        v2.MapGet("/cached_images", ListCachedAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapDelete("/cached_images", ClearCachedAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapDelete("/cached_images/{id}", DropCachedAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapGet("/queued_images", ListQueuedAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapDelete("/queued_images", ClearQueuedAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.MapPut("/queued_images/{id}", QueueOldAsync);
        v2.MapDelete("/queued_images/{id}", DropQueuedAsync).AddEndpointFilter(RequestBody.Refuse);
    }

    private static async Task ListAsync(HttpContext context, CacheCommands commands)
    {
        var caller = Caller.Of(context);
        var cached = await commands.ListCachedAsync(caller, "cache_list", context.RequestAborted);
        var queued = commands.ListQueued(caller, "cache_list");
        await WriteAsync(context, json =>
        {
            json.WriteStartObject();
            WriteCached(json, cached);
            WriteQueued(json, queued);
            json.WriteEndObject();
        });
    }

    private static void Clear(HttpContext context, CacheCommands commands)
    {
        var caller = Caller.Of(context);
        var target = context.Request.Headers[TargetHeader].ToString();
        var isAll = target.Length == 0;
        var isCache = isAll || target.Equals("cache", StringComparison.OrdinalIgnoreCase);
        var isQueue = isAll || target.Equals("queue", StringComparison.OrdinalIgnoreCase);
        commands.RequireMayClear(caller, Delete);
        if (!isCache && !isQueue)
        {
            throw new RegistryException(
                ErrorCode.BadRequest,
                $"If provided '{TargetHeader}' must be 'cache', 'queue' or empty string.",
                "unknown_target");
        }

        // The queue first: what is in it would fill the cache again.
        if (isQueue)
        {
            commands.ClearQueued(caller, Delete);
        }

        if (isCache)
        {
            commands.ClearCached(caller, Delete);
        }

        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task QueueAsync(HttpContext context, string id, CacheCommands commands)
    {
        await commands.QueueAsync(Caller.Of(context), "cache_image", id, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status202Accepted;
    }

    private static async Task DropAsync(HttpContext context, string id, CacheCommands commands)
    {
        await commands.DropAsync(Caller.Of(context), Delete, id, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ListNodesAsync(
        HttpContext context, string id, CacheCommands commands, IOptions<RegistryOptions> options)
    {
        var isCached = await commands.IsCachedAsync(Caller.Of(context), id, context.RequestAborted);
        if (!options.Value.IsEmbedded)
        {
            // Of several replicas this one knows only itself.
            throw new RegistryException(
                ErrorCode.Conflict,
                "Each process has a cache of its own; ask each of them for the images that it has cached.",
                "cache_is_local");
        }

        await WriteAsync(context, json =>
        {
            json.WriteStartArray();
            if (isCached)
            {
                json.WriteStringValue(VersionEndpoints.Base(context));
            }

            json.WriteEndArray();
        });
    }

    private static Task CleanAsync(HttpContext context, CacheCommands commands) =>
        commands.CleanAsync(Caller.Of(context), context.RequestAborted);

    private static Task PruneAsync(HttpContext context, CacheCommands commands)
    {
        var pruned = commands.Prune(Caller.Of(context));
        return WriteAsync(context, json =>
        {
            json.WriteStartObject();
            json.WriteNumber("total_files_pruned"u8, pruned.Files);
            json.WriteNumber("total_bytes_pruned"u8, pruned.Bytes);
            json.WriteEndObject();
        });
    }

    private static async Task ListCachedAsync(HttpContext context, CacheCommands commands)
    {
        var cached = await commands.ListCachedAsync(Caller.Of(context), Manage, context.RequestAborted);
        await WriteAsync(context, json =>
        {
            json.WriteStartObject();
            WriteCached(json, cached);
            json.WriteEndObject();
        });
    }

    private static Task ListQueuedAsync(HttpContext context, CacheCommands commands)
    {
        var queued = commands.ListQueued(Caller.Of(context), Manage);
        return WriteAsync(context, json =>
        {
            json.WriteStartObject();
            WriteQueued(json, queued);
            json.WriteEndObject();
        });
    }

    private static Task ClearCachedAsync(HttpContext context, CacheCommands commands) =>
        WriteCountAsync(context, commands.ClearCached(Caller.Of(context), Manage));

    private static Task ClearQueuedAsync(HttpContext context, CacheCommands commands) =>
        WriteCountAsync(context, commands.ClearQueued(Caller.Of(context), Manage));

    // These two do not say that there is no such image: glance-cache-manage takes a 404 for a service without a cache.
    private static Task DropCachedAsync(HttpContext context, string id, CacheCommands commands)
    {
        commands.DropCached(Caller.Of(context), Manage, id);
        return WriteAsync(context, json => json.WriteNullValue());
    }

    private static Task DropQueuedAsync(HttpContext context, string id, CacheCommands commands)
    {
        commands.DropQueued(Caller.Of(context), Manage, id);
        return WriteAsync(context, json => json.WriteNullValue());
    }

    private static async Task QueueOldAsync(HttpContext context, string id, CacheCommands commands)
    {
        await commands.QueueAsync(Caller.Of(context), Manage, id, context.RequestAborted);
        await WriteAsync(context, json => json.WriteNullValue());
    }

    private static Task WriteCountAsync(HttpContext context, int count) => WriteAsync(context, json =>
    {
        json.WriteStartObject();
        json.WriteNumber("num_deleted"u8, count);
        json.WriteEndObject();
    });

    private static void WriteCached(Utf8JsonWriter json, IReadOnlyList<CachedImage> cached)
    {
        json.WriteStartArray("cached_images"u8);
        foreach (var (image, entry) in cached)
        {
            json.WriteStartObject();
            json.WriteNumber("id"u8, entry.Number);
            json.WriteString("image_id"u8, image.Id);
            json.WriteNumber("last_accessed"u8, Seconds(entry.UsedAt));
            json.WriteNumber("last_modified"u8, Seconds(entry.ModifiedAt));
            json.WriteNumber("size"u8, image.Size ?? 0);
            json.WriteNumber("hits"u8, entry.Hits);
            json.WriteString("checksum"u8, image.Checksum);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteQueued(Utf8JsonWriter json, IReadOnlyList<string> queued)
    {
        json.WriteStartArray("queued_images"u8);
        foreach (var id in queued)
        {
            json.WriteStringValue(id);
        }

        json.WriteEndArray();
    }

    // With their fractions, always: the clients print a time without one in another form.
    private static double Seconds(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).TotalSeconds;

    private static async Task WriteAsync(HttpContext context, Action<Utf8JsonWriter> write)
    {
        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        write(json);
    }
}
