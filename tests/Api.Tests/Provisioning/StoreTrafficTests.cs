using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>What passes between the registry and a real S3 server while a disk is read: counted on the wire.</summary>
public sealed class StoreTrafficTests(SharedS3 s3) : IAsyncLifetime
{
    private const int DiskBytes = 384 << 20;
    private const int Cluster = 64 << 10;
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");
    private TcpGate _gate = null!;
    private RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        SharedS3.Require();
        var server = await s3.GetAsync();
        _gate = new TcpGate(server.Endpoint);
        var settings = SharedS3.Settings(0, "s3", _gate.Address, server.NewBucket());
        settings["Registry:Limits:ImageSizeCapBytes"] = "1073741824";
        _app = new RegistryApp { Settings = settings };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _gate.DisposeAsync();
    }

    [Theory]
    [InlineData("raw", false)]
    [InlineData("qcow2", false)]
    [InlineData("qcow2", true)]
    public async Task Hardly_more_is_read_than_the_image_stores_in_few_requests(string format, bool isCompressed)
    {
        // An eighth of the disk, in runs of 2 MiB.
        var moved = await MeasureAsync(format, isCompressed, cluster => cluster / 32 % 8 == 0);
        var stored = isCompressed ? moved.Stored : moved.Allocated;
        Assert.InRange(moved.Bytes, stored / 2, (long)(stored * 1.02));
        Assert.InRange(moved.Requests, 1, (moved.Allocated >> 22) + 20);
    }

    [Theory]
    [InlineData("raw", 1.5)]
    [InlineData("qcow2", 1.02)]
    public async Task A_disk_of_which_every_second_cluster_is_allocated_costs_little_more(string format, double most)
    {
        var moved = await MeasureAsync(format, false, cluster => cluster < 1024 && cluster % 2 == 0);
        Assert.Equal(32 << 20, moved.Allocated);
        Assert.InRange(moved.Bytes, moved.Allocated, (long)(moved.Allocated * most));
    }

    [Fact]
    public async Task Hosts_that_make_the_same_disk_at_once_are_one_reader_of_the_store()
    {
        using var directory = new TempDirectory();
        var (id, raw) = await UploadAsync(directory, "qcow2", false, cluster => cluster / 32 % 8 == 0);
        var bytes = _gate.BytesReceived;
        using var ready = new CountdownEvent(4);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var hosts = Enumerable.Range(0, 4).Select(_ => ReadAsync(id, raw, async () =>
        {
            ready.Signal();
            await go.Task;
        })).ToList();
        Assert.True(ready.Wait(TimeSpan.FromMinutes(1), RegistryApp.Stop));
        go.SetResult();
        var starts = await Task.WhenAll(hosts);

        // What the first one reads before the second is there is read twice.
        Assert.InRange(_gate.BytesReceived - bytes, starts[0].Allocated, starts[0].Allocated * 2);
    }

    private async Task<(long Bytes, long Requests, long Allocated, long Stored)> MeasureAsync(
        string format, bool isCompressed, Func<int, bool> isAllocated)
    {
        using var directory = new TempDirectory();
        var (id, raw) = await UploadAsync(directory, format, isCompressed, isAllocated);
        var (requests, bytes) = (_gate.Requests, _gate.BytesReceived);
        var start = await ReadAsync(id, raw, () => Task.CompletedTask);
        var moved = (
            Bytes: _gate.BytesReceived - bytes, Requests: _gate.Requests - requests, start.Allocated, start.Stored);
        TestContext.Current.TestOutputHelper!.WriteLine(JsonSerializer.Serialize(new
        {
            format, isCompressed, moved.Bytes, moved.Requests, moved.Allocated, moved.Stored,
        }));
        return moved;
    }

    private async Task<(string Id, string Raw)> UploadAsync(
        TempDirectory directory, string format, bool isCompressed, Func<int, bool> isAllocated)
    {
        var raw = directory.File("raw");
        Write(raw, isAllocated, isCompressed);
        var image = raw;
        if (format != "raw")
        {
            image = directory.File("image");
            string[] options = isCompressed ? ["-c", "-o", "compression_type=zstd"] : [];
            await _qemuImg.OutputAsync(
                RegistryApp.Stop, ["convert", "-f", "raw", "-O", format, .. options, raw, image]);
        }

        var id = await _app.CreateAsync(format);
        await using (var file = File.OpenRead(image))
        {
            using var body = new StreamContent(file);
            body.Headers.ContentType = new("application/octet-stream");
            using var uploaded = await _app.Http.PutAsync($"/v2/images/{id}/file", body, RegistryApp.Stop);
            Assert.Equal(204, (int)uploaded.StatusCode);
        }

        return (id, raw);
    }

    // Everything that is sent is right, and everything is sent.
    private async Task<DiskStart> ReadAsync(string id, string raw, Func<Task> started)
    {
        var disk = File.ReadAllBytes(raw);
        var client = new Protos.V1.Provisioning.ProvisioningClient(_app.Grpc);
        using var call = client.ReadDisk(
            new ReadDiskRequest { ImageId = id }, cancellationToken: RegistryApp.Stop);
        var start = new DiskStart();
        await foreach (var message in call.ResponseStream.ReadAllAsync(RegistryApp.Stop))
        {
            if (message.Start is not null)
            {
                start = message.Start;
                await started();
            }

            if (message.Data is { } data)
            {
                var part = disk.AsSpan((int)data.Offset, data.Data.Length);
                Assert.True(part.SequenceEqual(data.Data.Span), $"{data.Offset}");
                part.Clear();
            }
        }

        Assert.False(disk.AsSpan().ContainsAnyExcept((byte)0), "content was not sent");
        return start;
    }

    private static void Write(string path, Func<int, bool> isAllocated, bool isCompressible)
    {
        var random = new Random(3);
        var content = new byte[Cluster];
        using var file = File.Create(path);
        file.SetLength(DiskBytes);
        for (var cluster = 0; cluster < DiskBytes / Cluster; cluster++)
        {
            if (isAllocated(cluster))
            {
                random.NextBytes(content.AsSpan(isCompressible ? Cluster / 2 : 0));
                content.AsSpan(0, isCompressible ? Cluster / 2 : 0).Fill((byte)((cluster % 250) + 1));
                file.Position = (long)cluster * Cluster;
                file.Write(content);
            }
        }
    }
}
