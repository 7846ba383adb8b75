using System.Text.Json;
using Grpc.Core;
using Registry.Api.Tests.Cli;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Disks that are read from the store itself, by addresses that the registry signs.</summary>
public sealed class DirectReadTests(SharedS3 s3) : IAsyncLifetime
{
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");
    private readonly TempDirectory _directory = new();
    private S3RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        SharedS3.Require();
        _app = new S3RegistryApp(s3) { Settings = { ["Registry:Provisioning:DirectReads"] = "true" } };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("raw", "raw")]
    [InlineData("qcow2", "raw")]
    [InlineData("vmdk", "qcow2")]
    public async Task The_disk_is_the_image_s(string stored, string made)
    {
        var content = Noise(9 << 20);
        content.AsSpan(1 << 20, 5 << 20).Clear();
        var (raw, image) = (_directory.File("raw"), _directory.File("image"));
        await File.WriteAllBytesAsync(raw, content, RegistryApp.Stop);
        await _qemuImg.OutputAsync(RegistryApp.Stop, ["convert", "-f", "raw", "-O", stored, raw, image]);
        var id = await _app.UploadAsync(await File.ReadAllBytesAsync(image, RegistryApp.Stop), stored);

        var target = _directory.File("disk");
        var report = await ProvisionAsync(id, target, "--format", made, "--size", "20M");
        Assert.Equal(0, report.ExitCode);
        var read = JsonDocument.Parse(report.Output).RootElement.GetProperty("read-from-store").GetInt64();
        Assert.InRange(read, 4 << 20, (4 << 20) + (200 << 10));
        await _qemuImg.OutputAsync(RegistryApp.Stop, ["resize", "-f", "raw", raw, "20M"]);
        await _qemuImg.OutputAsync(RegistryApp.Stop, ["compare", "-f", "raw", "-F", made, raw, target]);
    }

    [Fact]
    public async Task Damage_is_found_where_the_bytes_are_used()
    {
        var id = await _app.UploadAsync(Noise(1 << 20));
        await _app.FlipByteAsync(id, 700_000);
        var failed = await ProvisionAsync(id, _directory.File("disk"));
        Assert.Equal(1, failed.ExitCode);
        Assert.Contains("is damaged", failed.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_directory.Path));
    }

    [Fact]
    public async Task Addresses_are_good_for_the_segments_of_the_image_and_for_nothing_else()
    {
        var content = Noise(100_000);
        var id = await _app.UploadAsync(content);
        var client = new Protos.V1.Provisioning.ProvisioningClient(_app.Grpc);
        var source = await client.GetSourceAsync(
            new GetSourceRequest { ImageId = id, Segments = { "data.0", "index.0" } }, cancellationToken: RegistryApp.Stop);
        Assert.Equal((100_000, 900, "raw"), (source.DataLength, source.Seconds, source.DiskFormat));
        using var http = new HttpClient();
        Assert.Equal(content, await http.GetByteArrayAsync(new Uri(source.Addresses[0]), RegistryApp.Stop));
        using var written = await http.PutAsync(
            new Uri(source.Addresses[0]), new ByteArrayContent(Noise(10)), RegistryApp.Stop);
        Assert.Equal(403, (int)written.StatusCode);
        foreach (var name in new[] { "data.1", "index.1", "data.-1", "data.00", "data", "blob", "../x", "data.0/../../x", "" })
        {
            var refused = await Assert.ThrowsAsync<RpcException>(async () => await client.GetSourceAsync(
                new GetSourceRequest { ImageId = id, Segments = { name } }, cancellationToken: RegistryApp.Stop));
            Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        }
    }

    [Theory]
    [InlineData("false", "hands out no addresses")]
    [InlineData("true", "signs addresses")]
    public async Task A_registry_that_cannot_or_may_not_says_so(string directReads, string reason)
    {
        await using var app = new RegistryApp { Settings = { ["Registry:Provisioning:DirectReads"] = directReads } };
        await app.InitializeAsync();
        var id = await app.UploadAsync(Noise(1000));
        var failed = await RegistryCommandLine.RunAsync(
            "provision", id, "--to", _directory.File("disk"), "--direct", "--url", app.Url.ToString());
        Assert.Equal(1, failed.ExitCode);
        Assert.Contains(reason, failed.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_directory.Path));
    }

    private Task<ToolResult> ProvisionAsync(string id, string target, params string[] more) => RegistryCommandLine.RunAsync(
        ["provision", id, "--to", target, "--direct", "--url", _app.Url.ToString(), "--output", "json", .. more]);

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        new Random(length).NextBytes(noise);
        return noise;
    }
}
