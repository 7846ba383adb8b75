using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Metadata;

namespace Registry.Api.Usage;

/// <summary>GET /v2/info/usage: what the caller's project uses, and may use (spec/glance-v2.md, 2 and 8).</summary>
/// <remarks>As in Glance there is nothing to tell while nothing is limited. Sizes are in MiB, begun ones counted; -1 is no
/// limit.</remarks>
internal static class UsageEndpoints
{
    private const long Mebibyte = 1 << 20;
    private const long Unlimited = -1;

    /// <summary>Lists the route.</summary>
    public static void MapUsage(this IEndpointRouteBuilder v2) =>
        v2.MapGet("/info/usage", ShowAsync).AddEndpointFilter(RequestBody.Refuse);

    private static async Task ShowAsync(
        HttpContext context, IDbContextFactory<RegistryDb> databases, IOptions<RegistryOptions> options)
    {
        var bytesMax = options.Value.Limits.ProjectBytes;
        var uploadsMax = options.Value.UploadsPerProject;
        ProjectUsage? usage = null;
        if (Caller.Of(context).ProjectId is { } project && (bytesMax > 0 || uploadsMax is not null))
        {
            await using var db = await databases.CreateDbContextAsync(context.RequestAborted);
            usage = await ProjectUsage.MeasureAsync(db, project, context.RequestAborted);
        }

        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartObject("usage"u8);
        if (usage is not null)
        {
            // What is stored and what is staged share one limit.
            var sizeMax = bytesMax > 0 ? bytesMax / Mebibyte : Unlimited;
            Write(json, "image_size_total", Mebibytes(usage.StoredBytes), sizeMax);
            Write(json, "image_stage_total", Mebibytes(usage.StagedBytes), sizeMax);
            Write(json, "image_count_total", usage.Images, Unlimited);
            Write(json, "image_count_uploading", usage.Uploading, uploadsMax ?? Unlimited);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static long Mebibytes(long bytes) => (bytes / Mebibyte) + (bytes % Mebibyte > 0 ? 1 : 0);

    private static void Write(Utf8JsonWriter json, string name, long usage, long limit)
    {
        json.WriteStartObject(name);
        json.WriteNumber("usage"u8, usage);
        json.WriteNumber("limit"u8, limit);
        json.WriteEndObject();
    }
}
