using System.Text.Json;
using Registry.Api.Auth;
using Registry.Api.Versions;
using Registry.Engine.Convert;
using Registry.Engine.Disks;

namespace Registry.Api.Provisioning;

/// <summary>What a disk has and what changed in it, as JSON: /registry/v1/images/{id}/map and
/// /registry/v1/images/{id}/changes?since=.</summary>
/// <remarks>The same as gRPC's GetMap and GetChanges. A document is written as it is found: one that ends before its last
/// brace was cut.</remarks>
internal static class DiskJson
{
    private const int FlushBytes = 32 << 10;

    /// <summary>Lists the routes.</summary>
    public static void MapDiskJson(this IEndpointRouteBuilder v1)
    {
        v1.MapGet("/images/{id}/map", MapAsync).AddEndpointFilter(RequestBody.Refuse)
            .Describe("What the disk's bytes are: hole, zero, data or compressed.");
        v1.MapGet("/images/{id}/changes", ChangesAsync).AddEndpointFilter(RequestBody.Refuse)
            .Describe("The blocks of 64 KiB in which the disk differs from another image's.", "since: the other image's id");
    }

    /// <summary>The word for a disk's format.</summary>
    public static string Format(DiskImage disk) => disk.Format.ToString().ToLowerInvariant();

    private static async Task MapAsync(HttpContext context, string id, StoredDisks disks, ReadShares shares)
    {
        var cancellation = context.RequestAborted;
        await using var reading = await shares.OpenAsync(
            () => disks.OpenAsync(Caller.Of(context), id, cancellation), cancellation, most: 0,
            projectId: Caller.Of(context).ProjectId);
        var disk = reading.Open.Disk;
        await using var json = await BeginAsync(context, disk);
        json.WriteStartArray("extents"u8);
        await foreach (var extent in disk.MapAsync(0, disk.VirtualSize, cancellation))
        {
            json.WriteStartObject();
            json.WriteNumber("start"u8, extent.Start);
            json.WriteNumber("length"u8, extent.Length);
            json.WriteString("kind"u8, extent.Kind.ToString().ToLowerInvariant());
            json.WriteNumber("stored_length"u8, extent.StoredLength);
            json.WriteEndObject();
            await FlushAsync(json, cancellation);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static async Task ChangesAsync(
        HttpContext context, string id, string? since, StoredDisks disks, ReadShares shares)
    {
        var cancellation = context.RequestAborted;
        await using var reading = await shares.OpenAsync(
            () => DiskPair.OpenAsync(disks, Caller.Of(context), id, since, cancellation), cancellation,
            projectId: Caller.Of(context).ProjectId);
        var pair = reading.Open;
        await using var json = await BeginAsync(context, pair.Newer.Disk);
        json.WriteStartArray("changes"u8);
        await foreach (var run in pair.FindAsync(reading.Share.Options, cancellation))
        {
            json.WriteStartObject();
            json.WriteNumber("start"u8, run.Start);
            json.WriteNumber("length"u8, run.Length);
            json.WriteBoolean("zero"u8, run.IsZero);
            json.WriteEndObject();
            await FlushAsync(json, cancellation);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static async ValueTask<Utf8JsonWriter> BeginAsync(HttpContext context, DiskImage disk)
    {
        context.Response.ContentType = "application/json";
        await context.Response.StartAsync(context.RequestAborted); // a failure from here on cuts the connection
        var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteNumber("virtual_size"u8, disk.VirtualSize);
        json.WriteNumber("cluster_size"u8, disk.ClusterSize);
        json.WriteString("format"u8, Format(disk));
        return json;
    }

    private static async ValueTask FlushAsync(Utf8JsonWriter json, CancellationToken cancellationToken)
    {
        if (json.BytesPending >= FlushBytes)
        {
            await json.FlushAsync(cancellationToken);
        }
    }
}
