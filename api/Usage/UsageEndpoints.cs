using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Errors;
using Registry.Storage.Metadata;

namespace Registry.Api.Usage;

/// <summary>GET /v2/info/usage: what the caller's project uses, and may use (spec/glance-v2.md, 2 and 8).</summary>
/// <remarks>As in Glance there is nothing to tell while nothing is limited. Sizes are in MiB, full ones only; -1 is no
/// limit. Keystone's limits are told where it sets them.</remarks>
internal static class UsageEndpoints
{
    private const long Mebibyte = 1 << 20;
    private const long Unlimited = -1;

    /// <summary>Lists the route.</summary>
    public static void MapUsage(this IEndpointRouteBuilder v2)
    {
        v2.MapGet("/info/usage", ShowAsync).AddEndpointFilter(RequestBody.Refuse);
        v2.Map("/info/usage", RouteErrors.NotFound);
    }

    private static async Task ShowAsync(
        HttpContext context,
        IDbContextFactory<RegistryDb> databases,
        StorageQuota quota,
        IOptions<RegistryOptions> options)
    {
        var project = Caller.Of(context).ProjectId;
        var limits = await quota.AskAsync(project, context.RequestAborted) ?? Configured(project, options.Value);
        ProjectUsage? usage = null;
        if (limits is not null)
        {
            await using var db = await databases.CreateDbContextAsync(context.RequestAborted);
            usage = await ProjectUsage.MeasureAsync(db, limits.ProjectId, context.RequestAborted);
        }

        context.Response.ContentType = "application/json; charset=UTF-8";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteStartObject("usage"u8);
        if (limits is not null && usage is not null)
        {
            Write(json, "image_size_total", usage.StoredBytes / Mebibyte, limits.StoredMebibytes);
            Write(json, "image_stage_total", usage.StagedBytes / Mebibyte, limits.StagedMebibytes);
            Write(json, "image_count_total", usage.Images, limits.Images);
            Write(json, "image_count_uploading", usage.Uploading, limits.Uploading);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    // What is stored and what is staged share one limit there.
    private static ProjectLimits? Configured(string? project, RegistryOptions options)
    {
        var bytesMax = options.Limits.ProjectBytes;
        var uploadsMax = options.UploadsPerProject;
        if (project is null || (bytesMax <= 0 && uploadsMax is null))
        {
            return null;
        }

        var sizeMax = bytesMax > 0 ? bytesMax / Mebibyte : Unlimited;
        return new ProjectLimits(project, sizeMax, sizeMax, Unlimited, uploadsMax ?? Unlimited);
    }

    private static void Write(Utf8JsonWriter json, string name, long usage, long limit)
    {
        json.WriteStartObject(name);
        json.WriteNumber("usage"u8, usage);
        json.WriteNumber("limit"u8, limit);
        json.WriteEndObject();
    }
}
