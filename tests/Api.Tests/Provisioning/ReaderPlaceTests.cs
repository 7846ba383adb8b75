using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Provisioning;
using Registry.Protos.V1;
using Registry.Storage.Jobs;
using Registry.Support;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Who waits for a place among the readers has opened nothing yet: in whatever way disks are read, those who wait
/// take no memory.</summary>
public sealed class ReaderPlaceTests : IAsyncLifetime
{
    private const int DiskBytes = 1 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public ReaderPlaceTests()
    {
        Directory.CreateDirectory(_directory.File("volumes"));
        _app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Provisioning:Targets:0:Id"] = "volumes",
                ["Registry:Provisioning:Targets:0:Path"] = _directory.File("volumes"),
                ["Registry:Jobs:Poll"] = "00:00:00.05",
                ["Registry:Import:ConvertTo"] = "qcow2",
            },
        };
    }

    private ReadShares Shares => _app.Services.GetRequiredService<ReadShares>();

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("disk")]
    [InlineData("map")]
    [InlineData("changes")]
    [InlineData("GET disk?format=raw")]
    [InlineData("GET disk?format=qcow2")]
    [InlineData("GET map")]
    [InlineData("GET changes?since=BASE")]
    [InlineData("job to a target")]
    [InlineData("job to an image")]
    public async Task Who_waits_for_a_place_has_not_opened_the_disk(string way)
    {
        var (image, older) = (await AddAsync(seed: 1), await AddAsync(seed: 2));
        var taken = await TakeAllAsync();

        // Without bytes in the store whoever opened the disk would have failed instead of waiting.
        var aside = _app.Blobs + ".aside";
        Directory.Move(_app.Blobs, aside);
        var reading = ReadAsync(way, image, older);
        await UntilAsync(() => Task.FromResult(Shares.Waiting > 0 || reading.IsCompleted));
        Assert.False(reading.IsCompleted, $"it did not wait: {reading.Exception}");
        Directory.Move(aside, _app.Blobs);
        taken.ForEach(share => share.Dispose());
        await reading;
        Assert.Equal(0, Shares.Waiting);
        await AllAreFreeAsync(taken.Count);
    }

    [Fact]
    public async Task An_image_that_is_converted_on_import_waits_for_a_place_and_leaves_it()
    {
        var id = await _app.CreateAsync();
        using (var staged = await _app.Http.PutAsync($"/v2/images/{id}/stage", Content(Bytes(seed: 1)), RegistryApp.Stop))
        {
            Assert.Equal(204, (int)staged.StatusCode);
        }

        var taken = await TakeAllAsync();
        using (var asked = await _app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/import", """{"method":{"name":"glance-direct"}}"""))
        {
            Assert.Equal(202, (int)asked.StatusCode);
        }

        await UntilAsync(() => Task.FromResult(Shares.Waiting == 1));
        taken.ForEach(share => share.Dispose());
        await UntilAsync(async () => (await _app.ShowAsync(id)).GetProperty("status").GetString() == "active");
        Assert.Equal("qcow2", (await _app.ShowAsync(id)).GetProperty("disk_format").GetString());
        await AllAreFreeAsync(taken.Count);
    }

    [Fact]
    public async Task Who_is_refused_leaves_its_place()
    {
        var all = await TakeAllAsync();
        all.ForEach(share => share.Dispose());
        var empty = await _app.CreateAsync();
        foreach (var (path, status) in new[]
        {
            ($"{Guid.NewGuid()}/disk", 404), ($"{empty}/disk", 409), ($"{empty}/map", 409),
            ($"{empty}/changes?since={empty}", 409),
        })
        {
            using var answer = await _app.Http.GetAsync($"/registry/v1/images/{path}", RegistryApp.Stop);
            Assert.Equal(status, (int)answer.StatusCode);
        }

        await AllAreFreeAsync(all.Count);
    }

    // A place is left a moment after the last byte was sent.
    private Task AllAreFreeAsync(int places) => UntilAsync(async () =>
    {
        var free = await TakeAllAsync();
        free.ForEach(share => share.Dispose());
        return free.Count == places;
    });

    private Task ReadAsync(string way, string image, string older)
    {
        var client = new Protos.V1.Provisioning.ProvisioningClient(_app.Grpc);
        return way switch
        {
            "disk" => DrainAsync(client.ReadDisk(new() { ImageId = image }, cancellationToken: RegistryApp.Stop)),
            "map" => DrainAsync(client.GetMap(new() { ImageId = image }, cancellationToken: RegistryApp.Stop)),
            "changes" => DrainAsync(client.GetChanges(
                new() { ImageId = image, SinceImageId = older }, cancellationToken: RegistryApp.Stop)),
            "job to a target" => RunAsync(new(image, "vm-1", "raw", null) { Target = "volumes" }),
            "job to an image" => RunAsync(new(image, "copy", "qcow2", null)),
            _ => GetAsync($"/registry/v1/images/{image}/{way[4..].Replace("BASE", older, StringComparison.Ordinal)}"),
        };
    }

    private async Task GetAsync(string path)
    {
        using var answer = await _app.Http.GetAsync(path, RegistryApp.Stop);
        Assert.Equal(200, (int)answer.StatusCode);
        Assert.NotEmpty(await answer.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
    }

    private static async Task DrainAsync<T>(AsyncServerStreamingCall<T> call)
    {
        using (call)
        {
            Assert.NotEmpty(await call.ResponseStream.ReadAllAsync(RegistryApp.Stop).ToListAsync(RegistryApp.Stop));
        }
    }

    // Past the API, which looks at the disk before it takes an order.
    private async Task RunAsync(ProvisionOrder order)
    {
        var made = order.Target is null ? await _app.CreateAsync(order.Format) : null;
        var id = (await _app.Services.GetRequiredService<JobQueue>().EnqueueAsync(
            ProvisionJob.Order(order with { NewImageId = made }), RegistryApp.Stop)).Id;
        var job = default(JsonElement);
        await UntilAsync(async () =>
        {
            job = await _app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{id}", RegistryApp.Stop);
            return job.GetProperty("ended_at").ValueKind != JsonValueKind.Null;
        });
        Assert.Equal("succeeded", job.GetProperty("status").GetString());
    }

    private async Task<List<ReadShares.Share>> TakeAllAsync()
    {
        using var enough = new CancellationTokenSource();
        var taken = new List<ReadShares.Share>();
        while (true)
        {
            var joining = Shares.JoinAsync(enough.Token).AsTask();
            if (!joining.IsCompleted)
            {
                await enough.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining);
                return taken;
            }

            taken.Add(await joining);
        }
    }

    private Task<string> AddAsync(int seed) => _app.UploadAsync(Bytes(seed));

    private static byte[] Bytes(int seed)
    {
        var bytes = new byte[DiskBytes];
        new Random(seed).NextBytes(bytes.AsSpan(0, DiskBytes / 2));
        return bytes;
    }

    private static ByteArrayContent Content(byte[] bytes) =>
        new(bytes) { Headers = { ContentType = new("application/octet-stream") } };

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var began = Stopwatch.GetTimestamp(); !await condition();)
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Patience, "it did not come to that");
            await Task.Delay(5, RegistryApp.Stop);
        }
    }
}
