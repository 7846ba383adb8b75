using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Events;
using Registry.Api.Memory;
using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>PUT and GET /v2/images/{id}/file (spec/glance-v2.md, 5).</summary>
internal static class ImageDataEndpoints
{
    private const string OctetStream = "application/octet-stream";
    private static readonly TimeSpan SlowStartGrace = TimeSpan.FromSeconds(30);

    /// <summary>Lists the routes.</summary>
    public static void MapImageData(this IEndpointRouteBuilder v2)
    {
        v2.MapPut("/images/{id}/file", UploadAsync);
        v2.MapGet("/images/{id}/file", DownloadAsync).AddEndpointFilter(RequestBody.Refuse)
            .AddEndpointFilter(RequestAddress.RequireQuery);
    }

    /// <summary>The bytes that a request sends, at whatever length the client needs.</summary>
    /// <exception cref="RegistryException">UnsupportedMedia, or BadRequest for a stated length that is none.</exception>
    internal static IUploadBody ReadBody(HttpContext context)
    {
        var mediaType = context.Request.ContentType?.Split(';', 2)[0].Trim();
        if (!OctetStream.Equals(mediaType, StringComparison.OrdinalIgnoreCase))
        {
            throw new RegistryException(
                ErrorCode.UnsupportedMedia, $"The content type of image data must be {OctetStream}.");
        }

        context.Features.Get<IHttpMaxRequestBodySizeFeature>()!.MaxRequestBodySize = null;
        var options = context.RequestServices.GetRequiredService<IOptions<RegistryOptions>>().Value;
        context.Features.Get<IHttpMinRequestBodyDataRateFeature>()!.MinDataRate =
            new MinDataRate(options.Uploads.MinimumBytesPerSecond, SlowStartGrace);
        return new HttpUploadBody(context, StatedLength(context.Request), ReprDigest.Read(context.Request));
    }

    private static async Task UploadAsync(HttpContext context, string id, ImageUploads uploads)
    {
        var body = ReadBody(context);
        var store = context.Request.Headers["X-Image-Meta-Store"].ToString();
        await uploads.UploadAsync(Caller.Of(context), id, store, body, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task DownloadAsync(
        HttpContext context, string id, ImageDownloads downloads, ImageSends sends, ProcessMemory memory)
    {
        using var download = await downloads.OpenAsync(
            Caller.Of(context), id, Preferred(context.Request.Query), context.RequestAborted);
        var image = download.Image;
        if (download.Blob is not { } blob)
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        var request = context.Request.Headers;
        var range = ByteRange.Read(request.Range, request.ContentRange, blob.Length);
        range.WriteHeaders(context.Response);
        context.Response.Headers.ContentMD5 = image.Checksum;
        ReprDigest.Write(context.Response, image);
        var body = context.Response.Body;
        await using var send = sends.Begin(
            Caller.Of(context), image, range.Length, context.Connection.RemoteIpAddress);
        await downloads.CopyAsync(
            blob, range.Offset, range.Length,
            send is null ? SendAsync : send.Counting(SendAsync), context.RequestAborted);

        ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken token) =>
            memory.Stalled.SendAsync(
                Caller.Of(context).ProjectId, body.WriteAsync(bytes, token), bytes.Length, context.Abort);
    }

    private static string[] Preferred(IQueryCollection query) => (query["prefer"].LastOrDefault() ?? "").Split(
        ',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private static long? StatedLength(HttpRequest request)
    {
        var stated = request.Headers["x-openstack-image-size"].ToString();
        if (stated.Length == 0)
        {
            return request.ContentLength;
        }

        return long.TryParse(stated, NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            ? length
            : throw new RegistryException(
                ErrorCode.BadRequest, "x-openstack-image-size must be a whole number of bytes.");
    }
}
