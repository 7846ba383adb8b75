using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Grpc;

public sealed class GrpcTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private Protos.V1.Images.ImagesClient Images => new(app.Grpc);

    private Protos.V1.Provisioning.ProvisioningClient Provisioning => new(app.Grpc);

    [Fact]
    public async Task An_image_lives_its_life_over_grpc_and_http_sees_the_same()
    {
        var request = new CreateImageRequest
        {
            Name = "over grpc",
            DiskFormat = "raw",
            ContainerFormat = "bare",
            Tags = { "t" },
        };
        request.Properties.Add("colour", "red");
        var created = await Images.CreateAsync(request, cancellationToken: RegistryApp.Stop);
        Assert.Equal("queued", created.Status);
        Assert.Equal("red", (await app.ShowAsync(created.Id)).GetProperty("colour").GetString());

        var update = new UpdateImageRequest
        {
            Id = created.Id,
            Name = "renamed",
            RemoveProperties = { "colour" },
            AddTags = { "u" },
        };
        var updated = await Images.UpdateAsync(update, cancellationToken: RegistryApp.Stop);
        Assert.Equal("renamed", updated.Name);
        Assert.Empty(updated.Properties);
        Assert.Equal(["t", "u"], updated.Tags.Order());

        var listed = await Images.ListAsync(
            new ListImagesRequest { Name = "renamed" }, cancellationToken: RegistryApp.Stop);
        Assert.Equal(created.Id, Assert.Single(listed.Images).Id);

        await Images.DeleteAsync(new DeleteImageRequest { Id = created.Id }, cancellationToken: RegistryApp.Stop);
        var gone = await Assert.ThrowsAsync<RpcException>(
            async () => await Images.GetAsync(
                new GetImageRequest { Id = created.Id }, cancellationToken: RegistryApp.Stop));
        Assert.Equal(StatusCode.NotFound, gone.StatusCode);
        var detail = ErrorDetail.Parser.ParseFrom(gone.Trailers.GetValueBytes(GrpcErrors.Trailer));
        Assert.Equal("not_found", detail.Code);
    }

    [Fact]
    public async Task Zeroes_are_named_and_not_sent_both_ways()
    {
        var content = new byte[3 << 20];
        RandomNumberGenerator.Fill(content.AsSpan(1 << 20, 100000));
        var id = await app.CreateAsync();
        using (var upload = Images.Upload(cancellationToken: RegistryApp.Stop))
        {
            await SendAsync(upload, new UploadRequest { Start = new UploadStart { Id = id, Size = content.Length } });
            await SendAsync(upload, new UploadRequest { Zeros = 1 << 20 });
            await SendAsync(upload, new UploadRequest { Data = ByteString.CopyFrom(content, 1 << 20, 100000) });
            await SendAsync(upload, new UploadRequest { Zeros = content.Length - (1 << 20) - 100000 });
            await upload.RequestStream.CompleteAsync();
            Assert.Equal(Convert.ToHexStringLower(SHA512.HashData(content)), (await upload.ResponseAsync).HashValue);
        }

        using var download = Images.Download(new DownloadRequest { Id = id }, cancellationToken: RegistryApp.Stop);
        var (received, sent) = (new MemoryStream(), 0);
        await foreach (var message in download.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            received.Write(
                message.PartCase == DownloadResponse.PartOneofCase.Zeros ? new byte[message.Zeros] : message.Data.Span);
            sent += message.Data.Length;
        }

        Assert.Equal(content, received.ToArray());
        Assert.InRange(sent, 100000, 100000 + 8192);
    }

    [Fact]
    public async Task An_upload_that_is_refused_says_why_to_grpc_and_keeps_it_with_the_image()
    {
        var id = await app.CreateAsync("qcow2");
        using var upload = Images.Upload(cancellationToken: RegistryApp.Stop);
        await SendAsync(upload, new UploadRequest { Start = new UploadStart { Id = id } });
        await SendAsync(upload, new UploadRequest { Data = ByteString.CopyFrom(new byte[100000]) });
        await upload.RequestStream.CompleteAsync();
        var refused = await Assert.ThrowsAsync<RpcException>(() => upload.ResponseAsync);
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        var detail = ErrorDetail.Parser.ParseFrom(refused.Trailers.GetValueBytes(GrpcErrors.Trailer));
        Assert.Equal(("image_rejected", "format_mismatch"), (detail.Code, detail.Reason));
        var image = await Images.GetAsync(new GetImageRequest { Id = id }, cancellationToken: RegistryApp.Stop);
        Assert.Equal(("queued", "format_mismatch"), (image.Status, image.LastFailure.Code));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task An_upload_that_was_damaged_on_the_way_is_refused_and_works_when_sent_again(int damaged)
    {
        var id = await app.CreateAsync();
        var content = new byte[70_000];
        new Random(3).NextBytes(content);
        UploadRequest[] Messages() =>
        [
            WireChecksum.Seal(new UploadRequest { Start = new UploadStart { Id = id } }, 0),
            WireChecksum.Seal(new UploadRequest { Data = ByteString.CopyFrom(content, 0, 60_000) }, 0),
            WireChecksum.Seal(new UploadRequest { Data = ByteString.CopyFrom(content, 60_000, 10_000) }, 60_000),
            WireChecksum.Seal(new UploadRequest { Zeros = 500 }, 70_000),
        ];
        var messages = Messages();
        switch (damaged)
        {
            case 0:
                messages[0].Start.Size = 70_501;
                break;
            case 1:
                messages[2].ClearChecksum();
                break;
            case 2:
                (messages[1], messages[2]) = (messages[2], messages[1]);
                break;
            default:
                messages[3].Zeros = 501;
                break;
        }

        var refused = await Assert.ThrowsAsync<RpcException>(() => UploadAsync(messages));
        var detail = ErrorDetail.Parser.ParseFrom(refused.Trailers.GetValueBytes(GrpcErrors.Trailer));
        Assert.Equal("damaged_on_the_way", detail.Reason);
        Assert.Equal("queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
        var image = await UploadAsync(Messages());
        Assert.Equal(Convert.ToHexStringLower(SHA512.HashData([.. content, .. new byte[500]])), image.HashValue);
    }

    private async Task<Image> UploadAsync(UploadRequest[] messages)
    {
        using var upload = Images.Upload(cancellationToken: RegistryApp.Stop);
        try
        {
            foreach (var message in messages)
            {
                await SendAsync(upload, message);
            }

            await upload.RequestStream.CompleteAsync();
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException)
        {
            // Refused already; the response says why.
        }

        return await upload.ResponseAsync;
    }

    [Fact]
    public async Task A_disk_is_sent_as_what_is_allocated_and_reads_no_more_than_that()
    {
        var content = new byte[64 << 20];
        new Random(5).NextBytes(content.AsSpan(10 << 20, 1 << 20));
        new Random(6).NextBytes(content.AsSpan(50 << 20, 4096));
        var id = await app.UploadAsync(content);
        using var call = Provisioning.ReadDisk(
            new ReadDiskRequest { ImageId = id, Size = 80 << 20 }, cancellationToken: RegistryApp.Stop);
        var disk = new byte[80 << 20];
        DiskStart? start = null;
        DiskEnd? end = null;
        await foreach (var message in call.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            start ??= message.Start;
            end = message.End;
            message.Data?.Data.CopyTo(disk, (int)message.Data.Offset);
        }

        Assert.Equal(content, disk.AsSpan(0, content.Length).ToArray());
        Assert.Equal((80 << 20, (1 << 20) + 4096), (start!.Size, start.Allocated));
        Assert.Equal((1 << 20) + 4096, end!.BytesSent);
        Assert.InRange(end.StoreBytesRead, end.BytesSent, (long)(end.BytesSent * 1.05));
    }

    [Fact]
    public async Task A_map_covers_the_disk_without_gap()
    {
        var content = new byte[1 << 20];
        content[70000] = 1;
        var id = await app.UploadAsync(content);
        using var call = Provisioning.GetMap(new GetMapRequest { ImageId = id }, cancellationToken: RegistryApp.Stop);
        List<MapExtent> extents = [];
        DiskInfo? info = null;
        await foreach (var message in call.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            info ??= message.Info;
            extents.AddRange(message.Extents);
        }

        Assert.Equal((1 << 20, "raw"), (info!.VirtualSize, info.Format));
        long position = 0;
        foreach (var extent in extents)
        {
            Assert.Equal(position, extent.Start);
            position += extent.Length;
        }

        Assert.Equal(1 << 20, position);
        var data = Assert.Single(extents, e => e.Kind == MapExtent.Types.Kind.Data);
        Assert.Equal((69632, 4096), (data.Start, data.Length));
    }

    [Fact]
    public async Task A_disk_smaller_than_the_image_or_without_bytes_is_refused()
    {
        var id = await app.UploadAsync(new byte[8192]);
        Assert.Equal(StatusCode.InvalidArgument, await FailureAsync(new ReadDiskRequest { ImageId = id, Size = 4096 }));
        Assert.Equal(StatusCode.Aborted, await FailureAsync(new ReadDiskRequest { ImageId = await app.CreateAsync() }));
        Assert.Equal(
            StatusCode.NotFound, await FailureAsync(new ReadDiskRequest { ImageId = Guid.NewGuid().ToString() }));
    }

    [Theory]
    [InlineData("status", StatusCode.PermissionDenied)]
    [InlineData("id", StatusCode.PermissionDenied)]
    [InlineData("os_glance_x", StatusCode.PermissionDenied)]
    [InlineData("", StatusCode.InvalidArgument)]
    public async Task A_property_cannot_take_the_name_of_an_attribute(string name, StatusCode status)
    {
        var create = new CreateImageRequest();
        create.Properties.Add(name, "x");
        var created = await Assert.ThrowsAsync<RpcException>(
            async () => await Images.CreateAsync(create, cancellationToken: RegistryApp.Stop));
        Assert.Equal(status, created.StatusCode);

        var update = new UpdateImageRequest { Id = await app.CreateAsync() };
        update.SetProperties.Add(name, "x");
        var updated = await Assert.ThrowsAsync<RpcException>(
            async () => await Images.UpdateAsync(update, cancellationToken: RegistryApp.Stop));
        Assert.Equal(status, updated.StatusCode);
    }

    [Fact]
    public async Task Health_is_served()
    {
        var health = await new global::Grpc.Health.V1.Health.HealthClient(app.Grpc).CheckAsync(
            new global::Grpc.Health.V1.HealthCheckRequest(), cancellationToken: RegistryApp.Stop);
        Assert.Equal(global::Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus.Serving, health.Status);
    }

    private async Task<StatusCode> FailureAsync(ReadDiskRequest request)
    {
        using var call = Provisioning.ReadDisk(request, cancellationToken: RegistryApp.Stop);
        var failure = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(RegistryApp.Stop));
        return failure.StatusCode;
    }

    private static Task SendAsync(AsyncClientStreamingCall<UploadRequest, Image> upload, UploadRequest request) =>
        upload.RequestStream.WriteAsync(request, RegistryApp.Stop);
}
