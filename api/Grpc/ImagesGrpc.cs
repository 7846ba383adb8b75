using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Events;
using Registry.Api.ImageData;
using Registry.Api.Images;
using Registry.Api.Policy;
using Registry.Protos.V1;
using Registry.Storage.Domain;
using Image = Registry.Storage.Domain.Image;
using ImageMessage = Registry.Protos.V1.Image;

namespace Registry.Api.Grpc;

/// <summary>registry.v1.Images, on the same core as the HTTP routes.</summary>
internal sealed class ImagesGrpc(
    ImageCommands commands, ImageUploads uploads, ImageDownloads downloads, ImageSends sends,
    PropertyProtections protections, IOptions<RegistryOptions> options)
    : Protos.V1.Images.ImagesBase
{
    /// <inheritdoc/>
    public override async Task<ImageMessage> Create(CreateImageRequest request, ServerCallContext context)
    {
        var draft = new ImageDraft
        {
            Id = request.Id.Length > 0 ? request.Id : null,
            Name = request.Name.Length > 0 ? request.Name : null,
            DiskFormat = request.DiskFormat,
            ContainerFormat = request.ContainerFormat,
            Visibility = request.Visibility.Length > 0 ? request.Visibility : "shared",
            MinDisk = request.MinDisk,
            MinRam = request.MinRam,
            IsProtected = request.Protected,
            IsHidden = request.Hidden,
            Tags = request.Tags,
            Properties = request.Properties.ToDictionary(),
        };
        return ImageMessages.From(await commands.CreateAsync(CallerOf(context), draft, context.CancellationToken));
    }

    /// <inheritdoc/>
    public override async Task<ImageMessage> Get(GetImageRequest request, ServerCallContext context) =>
        ImageMessages.From(await commands.GetAsync(CallerOf(context), request.Id, context.CancellationToken));

    /// <inheritdoc/>
    public override async Task<ListImagesResponse> List(ListImagesRequest request, ServerCallContext context)
    {
        var query = ImageListQuery.From(request, options.Value.Limits);
        using var memory = await commands.ReserveAsync(CallerOf(context), query, context.CancellationToken);
        var images = await commands.ListAsync(CallerOf(context), query, context.CancellationToken);
        var isFull = images.Count == query.Limit;
        var response = new ListImagesResponse();
        await foreach (var image in commands.CompleteAsync(CallerOf(context), images, context.CancellationToken))
        {
            response.Images.Add(ImageMessages.From(image));
        }

        response.NextMarker = isFull && response.Images.Count > 0 ? response.Images[^1].Id : "";
        return response;
    }

    /// <inheritdoc/>
    public override async Task<ImageMessage> Update(UpdateImageRequest request, ServerCallContext context) =>
        ImageMessages.From(await commands.ChangeAsync(
            CallerOf(context), request.Id, image => Apply(CallerOf(context), image, request),
            context.CancellationToken));

    /// <inheritdoc/>
    public override async Task<DeleteImageResponse> Delete(DeleteImageRequest request, ServerCallContext context)
    {
        await commands.DeleteAsync(CallerOf(context), request.Id, context.CancellationToken);
        return new DeleteImageResponse();
    }

    /// <inheritdoc/>
    public override async Task<ImageMessage> Upload(
        IAsyncStreamReader<UploadRequest> requestStream, ServerCallContext context)
    {
        if (!await requestStream.MoveNext(context.CancellationToken)
            || requestStream.Current.PartCase != UploadRequest.PartOneofCase.Start)
        {
            throw new RegistryException(ErrorCode.BadRequest, "An upload stream begins with a start message.");
        }

        var first = requestStream.Current;
        GrpcUploadBody.RequireWhole(first, 0, isRequired: false);
        var start = first.Start;
        var body = new GrpcUploadBody(
            requestStream, start.HasSize ? start.Size : null, first.HasChecksum,
            context.GetHttpContext().Connection.RemoteIpAddress?.ToString());
        await uploads.UploadAsync(CallerOf(context), start.Id, null, body, context.CancellationToken);
        return ImageMessages.From(await commands.GetAsync(CallerOf(context), start.Id, context.CancellationToken));
    }

    /// <inheritdoc/>
    public override async Task Download(
        DownloadRequest request, IServerStreamWriter<DownloadResponse> responseStream, ServerCallContext context)
    {
        using var download = await downloads.OpenAsync(CallerOf(context), request.Id, [], context.CancellationToken);
        var image = download.Image;
        if (download.Blob is not { } blob)
        {
            throw new RegistryException(
                ErrorCode.Conflict,
                $"Image {image.Id} has no data: its status is {ImageStatuses.Name(image.Status)}.",
                "no_data");
        }

        var length = request.Length == 0 ? blob.Length - request.Offset : request.Length;
        if (request.Offset < 0 || length < 0 || request.Offset > blob.Length || length > blob.Length - request.Offset)
        {
            throw new RegistryException(
                ErrorCode.RangeNotSatisfiable, $"The range is outside the image's {blob.Length} bytes.");
        }

        await using var send = sends.Begin(
            CallerOf(context), image, length, context.GetHttpContext().Connection.RemoteIpAddress);
        await SendAsync(
            blob, request.Offset, request.Offset + length, responseStream, send, context.CancellationToken);
    }

    private async Task SendAsync(
        Stores.StoredBlob blob, long offset, long end, IServerStreamWriter<DownloadResponse> responses,
        ImageSends.ImageSend? send, CancellationToken cancellationToken)
    {
        while (offset < end)
        {
            var run = await blob.RunAsync(offset, cancellationToken);
            var length = Math.Min(run.Length, end - offset);
            if (run.IsZero)
            {
                await responses.WriteAsync(
                    WireChecksum.Seal(new DownloadResponse { Zeros = length }, offset), cancellationToken);
            }
            else
            {
                var at = offset;
                await downloads.CopyAsync(
                    blob,
                    offset,
                    length,
                    async (bytes, token) =>
                    {
                        await SendAsync(responses, at, bytes, token);
                        at += bytes.Length;
                    },
                    cancellationToken);
            }

            send?.Add(length);
            offset += length;
        }
    }

    private static async ValueTask SendAsync(
        IServerStreamWriter<DownloadResponse> responses,
        long offset,
        ReadOnlyMemory<byte> bytes,
        CancellationToken cancellationToken)
    {
        for (var sent = 0; sent < bytes.Length; sent += DataMessages.BytesMax)
        {
            var part = bytes.Slice(sent, Math.Min(DataMessages.BytesMax, bytes.Length - sent));
            var message = new DownloadResponse { Data = UnsafeByteOperations.UnsafeWrap(part) };
            await responses.WriteAsync(WireChecksum.Seal(message, offset + sent), cancellationToken);
        }
    }

    private bool Apply(Caller caller, Image image, UpdateImageRequest request)
    {
        image.Name = request.HasName ? ImageRules.Text("name", request.Name) : image.Name;
        image.MinDisk = request.HasMinDisk ? ImageRules.Minimum("min_disk", request.MinDisk) : image.MinDisk;
        image.MinRam = request.HasMinRam ? ImageRules.Minimum("min_ram", request.MinRam) : image.MinRam;
        image.IsProtected = request.HasProtected ? request.Protected : image.IsProtected;
        image.IsHidden = request.HasHidden ? request.Hidden : image.IsHidden;
        if (request.HasVisibility)
        {
            image.Visibility = ImageRules.Visibility(request.Visibility);
        }

        if (request.HasDiskFormat)
        {
            ImageChanges.SetFormat(image, "disk_format", request.DiskFormat);
        }

        if (request.HasContainerFormat)
        {
            ImageChanges.SetFormat(image, "container_format", request.ContainerFormat);
        }

        foreach (var name in request.RemoveProperties)
        {
            protections.Remove(caller, image, name);
        }

        foreach (var (name, value) in request.SetProperties)
        {
            protections.Set(caller, image, name, value);
        }

        foreach (var tag in request.RemoveTags)
        {
            image.RemoveTag(tag);
        }

        foreach (var tag in request.AddTags)
        {
            image.AddTag(ImageRules.Tag(tag));
        }

        ImageRules.RequireCount("tags", image.Tags.Count, options.Value.Limits.Tags);
        ImageRules.RequireCount("properties", image.Properties.Count, options.Value.Limits.Properties);
        return true;
    }

    private static Caller CallerOf(ServerCallContext context) => Caller.Of(context.GetHttpContext());
}
