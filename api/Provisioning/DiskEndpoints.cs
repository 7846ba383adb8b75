using Microsoft.Net.Http.Headers;
using Registry.Api.Auth;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Memory;
using Registry.Api.Metrics;
using Registry.Api.Versions;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Storage.Domain;

namespace Registry.Api.Provisioning;

/// <summary>/registry/v1/images/{id}/disk?format=raw|qcow2&amp;size=&amp;compat=&amp;cluster_size=: the image's disk as
/// a file that exists nowhere, with an exact length, a strong entity tag and any range of it.</summary>
internal static class DiskEndpoints
{
    /// <summary>Lists the routes.</summary>
    public static void MapDisks(this IEndpointRouteBuilder v1) =>
        v1.MapMethods("/images/{id}/disk", [HttpMethods.Get, HttpMethods.Head], ReadAsync)
            .AddEndpointFilter(RequestBody.Refuse)
            .Describe(
                "The image's disk as a file, whatever the image is stored as; any range of it.",
                "format: raw (the default) or qcow2", "size: of the disk, e.g. 12G", "compat: 0.10 or 1.1, of a qcow2 file",
                "cluster_size: of a qcow2 file, 512 to 2M");

    // 1. Wait for a place. 2. Which file is it? 3. Has the client got it already? 4. Lay it out: the length is known.
    // 5. Send.
    private static async Task ReadAsync(
        HttpContext context, string id, StoredDisks disks, ReadShares shares, ProcessMemory memory,
        RegistryMetrics metrics)
    {
        var cancellation = context.RequestAborted;
        var view = DiskView.Read(context.Request.Query);
        await using var reading = await shares.OpenAsync(
            () => disks.OpenAsync(Caller.Of(context), id, cancellation), cancellation,
            projectId: Caller.Of(context).ProjectId);
        var stored = reading.Open;
        var size = stored.SizeFor(view.Size);
        view.Require(size);
        var tag = new EntityTagHeaderValue(view.Tag(stored.Image, size));
        if (IsKnown(context.Request, tag))
        {
            context.Response.Headers.ETag = tag.ToString();
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        var layout = await LayoutAsync(stored.Disk, view, size, cancellation);
        var range = Range(context, tag, layout?.Length ?? size);
        range.WriteHeaders(context.Response);
        if (layout is null && stored.Disk.Format == DiskFormat.Raw && size == stored.Blob.Length)
        {
            ReprDigest.Write(context.Response, stored.Image); // the view is the stored image
        }

        context.Response.Headers.ETag = tag.ToString();
        if (HttpMethods.IsHead(context.Request.Method))
        {
            return;
        }

        var (body, read) = (context.Response.Body, reading.Share.Options);
        ValueTask SendAsync(ReadOnlyMemory<byte> chunk, CancellationToken token) =>
            memory.Stalled.SendAsync(
                Caller.Of(context).ProjectId, body.WriteAsync(chunk, token), chunk.Length, context.Abort);
        await (layout is null
            ? DiskBody.WriteRawAsync(
                stored.Disk, size, range.Offset, range.Length, read, SendAsync, cancellation)
            : DiskBody.WriteQcowAsync(
                stored.Disk, layout, range.Offset, range.Length, read, SendAsync, cancellation));
        metrics.Provisioned(range.Length);
    }

    private static async ValueTask<QcowLayout?> LayoutAsync(
        DiskImage disk, DiskView view, long size, CancellationToken cancellationToken)
    {
        try
        {
            return view.Shape is null ? null : await QcowLayout.ForAsync(disk, size, view.Shape, cancellationToken);
        }
        catch (DiskOperationException e)
        {
            throw ImageRules.Bad(e.Message);
        }
    }

    /// <summary>Whether If-None-Match names the view: the comparison is the weak one (RFC 9110, 13.1.2).</summary>
    private static bool IsKnown(HttpRequest request, EntityTagHeaderValue tag) =>
        request.Headers.IfNoneMatch.Count > 0
        && EntityTagHeaderValue.TryParseList(request.Headers.IfNoneMatch, out var known)
        && known.Any(one => one.Equals(EntityTagHeaderValue.Any) || one.Compare(tag, useStrongComparison: false));

    /// <summary>The part asked for. A range under If-Range counts only while the view is the one the client began with;
    /// views have no date, so a date never matches (RFC 9110, 13.1.5). HEAD knows no ranges.</summary>
    private static ByteRange Range(HttpContext context, EntityTagHeaderValue tag, long length)
    {
        var headers = context.Request.Headers;
        string? condition = headers.IfRange;
        var isWanted = HttpMethods.IsGet(context.Request.Method)
            && (condition is null
                || (EntityTagHeaderValue.TryParse(condition, out var begun)
                    && begun.Compare(tag, useStrongComparison: true)));
        try
        {
            return ByteRange.Read(isWanted ? headers.Range : default(string?), null, length);
        }
        catch (RegistryException e) when (e.Code == ErrorCode.RangeNotSatisfiable)
        {
            context.Response.Headers.ContentRange = $"bytes */{length}";
            throw;
        }
    }
}
