using System.Net;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Provisioning;

public sealed class ExtentEndpointsTests : IAsyncLifetime
{
    private readonly RegistryApp _app = new();

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Theory]
    [InlineData("", 0, 0, 0)]
    [InlineData("?size=12M&start=1048576", 12 << 20, 1 << 20, 0)]
    [InlineData("?start=65536&length=131072", 0, 64 << 10, 128 << 10)]
    public async Task It_sends_what_gRPC_sends(string query, long size, long start, long length)
    {
        var content = new byte[6 << 20];
        new Random(1).NextBytes(content.AsSpan(0, 2 << 20));
        new Random(2).NextBytes(content.AsSpan(4 << 20, 1 << 20));
        var id = await _app.UploadAsync(content);
        var expected = new List<DiskResponse>();
        var request = new ReadDiskRequest { ImageId = id, Size = size, Start = start, Length = length };
        using var call = new Protos.V1.Provisioning.ProvisioningClient(_app.Grpc)
            .ReadDisk(request, cancellationToken: RegistryApp.Stop);
        await foreach (var message in call.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            expected.Add(message);
        }

        using var response = await _app.Http.GetAsync($"/registry/v1/images/{id}/extents{query}", RegistryApp.Stop);
        Assert.Equal(
            "application/x-protobuf; type=registry.v1.DiskResponse; delimited=true",
            response.Content.Headers.ContentType!.ToString());
        var body = new MemoryStream(await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
        var got = new List<DiskResponse>();
        while (body.Position < body.Length)
        {
            got.Add(DiskResponse.Parser.ParseDelimitedFrom(body));
        }

        // Only how much of the index was read may differ.
        expected[^1].End.StoreBytesRead = got[^1].End.StoreBytesRead;
        Assert.Equal(expected, got);
    }

    [Theory]
    [InlineData("?start=-1", HttpStatusCode.BadRequest)]
    [InlineData("?length=x", HttpStatusCode.BadRequest)]
    [InlineData("?size=1K", HttpStatusCode.BadRequest)]
    [InlineData("?start=99999999999", HttpStatusCode.BadRequest)]
    public async Task What_makes_no_sense_is_refused(string query, HttpStatusCode status)
    {
        var id = await _app.UploadAsync(new byte[4096]);
        using var response = await _app.Http.GetAsync($"/registry/v1/images/{id}/extents{query}", RegistryApp.Stop);
        Assert.Equal(status, response.StatusCode);
        Assert.True(response.Headers.Contains("X-Registry-Reason"));
    }

    [Fact]
    public async Task What_is_found_damaged_midway_is_told_by_the_last_message()
    {
        var content = new byte[24 << 20];
        new Random(1).NextBytes(content);
        var id = await _app.UploadAsync(content);
        await _app.FlipByteAsync(id, 23 << 20);
        var body = new MemoryStream(await _app.Http.GetByteArrayAsync(
            $"/registry/v1/images/{id}/extents", RegistryApp.Stop));
        var last = new DiskResponse();
        while (body.Position < body.Length)
        {
            last = DiskResponse.Parser.ParseDelimitedFrom(body);
            if (last.Data is { } part)
            {
                Assert.True(part.Data.Span.SequenceEqual(content.AsSpan((int)part.Offset, part.Data.Length)));
            }
        }

        Assert.Equal((int)StatusCode.DataLoss, last.Failure.Status);
        Assert.Equal("data_corrupt", last.Failure.Error.Code);
    }
}
