using Registry.Api.Auth;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Metrics;
using Registry.Engine.Convert;
using Registry.Engine.Qcow2;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>GET /registry/v1/images/{id}/disk?format=raw|qcow2&amp;size=: the image's disk as a file that exists
/// nowhere, with an exact length and any range of it.</summary>
internal static class DiskEndpoints
{
    /// <summary>16 TiB: laying a view out takes a bit of memory for each of its clusters.</summary>
    private const long QcowSizeMax = 16L << 40;

    /// <summary>Lists the routes.</summary>
    public static void MapDisks(this IEndpointRouteBuilder v1) =>
        v1.MapGet("/images/{id}/disk", ReadAsync).AddEndpointFilter(RequestBody.Refuse);

    private static async Task ReadAsync(
        HttpContext context, string id, string? format, string? size, StoredDisks disks, RegistryMetrics metrics)
    {
        var cancellation = context.RequestAborted;
        await using var stored = await disks.OpenAsync(Caller.Of(context), id, cancellation);
        var bytes = stored.SizeFor(Size(size));
        if (format == "qcow2" && bytes > QcowSizeMax)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"A qcow2 view may describe at most {QcowSizeMax} bytes.", "size_too_large");
        }

        var layout = format switch
        {
            null or "raw" => null,
            "qcow2" => await QcowLayout.ForAsync(stored.Disk, bytes, QcowShape.Default, cancellation),
            _ => throw ImageRules.Bad($"'{ImageRules.Shown(format)}' is no format of a disk; it must be raw or qcow2."),
        };
        var range = ByteRange.Read(context.Request.Headers.Range, null, layout?.Length ?? bytes);
        range.WriteHeaders(context.Response);
        var body = context.Response.Body;
        ValueTask SendAsync(ReadOnlyMemory<byte> chunk, CancellationToken token) => body.WriteAsync(chunk, token);
        await (layout is null
            ? DiskBody.WriteRawAsync(
                stored.Disk, bytes, range.Offset, range.Length, DiskReadOptions.Default, SendAsync, cancellation)
            : DiskBody.WriteQcowAsync(
                stored.Disk, layout, range.Offset, range.Length, DiskReadOptions.Default, SendAsync, cancellation));
        metrics.Provisioned(range.Length);
    }

    private static long? Size(string? text)
    {
        try
        {
            return text is null ? null : Sizes.Parse(text);
        }
        catch (FormatException e)
        {
            throw ImageRules.Bad(e.Message);
        }
    }
}
