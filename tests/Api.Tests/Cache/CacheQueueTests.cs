using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Registry.Api.Cache;
using Registry.Api.Metrics;
using Registry.Api.Tests.Cli;
using Registry.Api.Tests.Clients;
using Registry.Storage.Blobs.Cache;
using Registry.Support;

namespace Registry.Api.Tests.Cache;

/// <summary>The queue, kills, clearing, and those who look after the cache by its API: the command line and the glance
/// client. With a cache of their own, for they empty it.</summary>
public sealed class CacheQueueTests(ClientLab lab) : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task The_queue_outlives_a_kill_and_so_does_what_was_fetched()
    {
        ExternalTool.Require(RegistryProcess.Executable);
        var content = Noise(40 << 20);
        string id;
        await using (var first = await StartAsync("01:00:00"))
        {
            id = await UploadAsync(first.Client, content);
            using var queued = await first.Client.PutAsync($"/v2/cache/{id}", null, RegistryApp.Stop);
            Assert.Equal(202, (int)queued.StatusCode);
            Assert.Equal($" / {id}", await ListAsync(first.Client));

            // Killed while a reader fills the cache.
            using var response = await first.Client.GetAsync(
                $"/v2/images/{id}/file", HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
            await using var body = await response.Content.ReadAsStreamAsync(RegistryApp.Stop);
            await body.ReadExactlyAsync(new byte[5 << 20], RegistryApp.Stop);
            await first.KillAsync();
        }

        Assert.NotEmpty(Directory.GetFiles(Path.Combine(_directory.Path, "cache", "blocks")));
        await using (var second = await StartAsync("01:00:00"))
        {
            Assert.Equal($" / {id}", await ListAsync(second.Client));
            Assert.Equal(content, await second.Client.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
            Assert.Equal($"{id} / {id}", await ListAsync(second.Client));
            await second.KillAsync();
        }

        await using var third = await StartAsync("00:00:00");
        await WaitAsync(third.Client, $"{id} / ");
        Assert.Equal(content, await third.Client.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        await third.StopAsync();
    }

    [Fact]
    public async Task What_belongs_to_no_image_is_removed()
    {
        var blocks = Directory.CreateDirectory(Path.Combine(_directory.File("cache"), "blocks")).FullName;
        var leftover = Path.Combine(blocks, $"{Guid.NewGuid()}.3.data.0");
        var other = Path.Combine(blocks, "not-ours");
        await File.WriteAllBytesAsync(leftover, Noise(100_000), RegistryApp.Stop);
        await File.WriteAllBytesAsync(other, Noise(100_000), RegistryApp.Stop);
        await using var app = App("00:00:00");
        await app.InitializeAsync();
        while (File.Exists(leftover))
        {
            await Task.Delay(50, RegistryApp.Stop);
        }

        Assert.True(File.Exists(other));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_store_is_cached_or_not_as_its_settings_say(bool isCached)
    {
        await using var app = App("00:00:00");
        app.Settings["Registry:Stores:0:Id"] = "main";
        app.Settings["Registry:Stores:0:Kind"] = "directory";
        app.Settings["Registry:Stores:0:Path"] = _directory.File("main");
        app.Settings["Registry:Stores:0:Cached"] = isCached.ToString();
        await app.InitializeAsync();
        var id = await app.UploadAsync(Noise(100_000));
        await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop);
        Assert.Equal(
            isCached, Directory.GetFiles(Path.Combine(_directory.File("cache"), "blocks")).Length > 0);
    }

    [Fact]
    public async Task A_cache_that_another_process_uses_stops_the_start()
    {
        await using var first = App("00:00:00");
        await first.InitializeAsync();
        using var second = new LocalCache(
            Options.Create(new RegistryOptions { Cache = new() { Directory = _directory.File("cache") } }),
            TimeProvider.System,
            first.Services.GetRequiredService<RegistryMetrics>(),
            NullLogger<BlockCache>.Instance);
        var refused = Assert.Throws<ConfigurationException>(second.Open);
        Assert.StartsWith("Registry:Cache:Directory '", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_command_line_looks_after_the_servers_cache()
    {
        await using var app = App("01:00:00");
        await app.InitializeAsync();
        var url = app.Url.ToString();
        var cached = await app.UploadAsync(Noise(200_000), name: "in-the-cache");
        var queued = await app.UploadAsync(Noise(1000), name: "in-the-queue");
        await app.Http.GetByteArrayAsync($"/v2/images/{cached}/file", RegistryApp.Stop);
        await RunAsync(0, url, "cache", "queue", "in-the-queue");
        var list = await RunAsync(0, url, "cache", "list");
        Assert.Matches($"{cached} +cached +195 KiB +0 ", list);
        Assert.Contains($"{queued}", list, StringComparison.Ordinal);
        var json = JsonDocument.Parse(await RunAsync(0, url, "cache", "list", "--output", "json")).RootElement;
        Assert.Equal(cached, json.GetProperty("cached_images")[0].GetProperty("image_id").GetString());
        Assert.Equal(queued, json.GetProperty("queued_images")[0].GetString());
        Assert.Contains("0", await RunAsync(0, url, "cache", "prune"), StringComparison.Ordinal);
        await RunAsync(0, url, "cache", "clean");
        await RunAsync(0, url, "cache", "clear", "--target", "cache");
        Assert.Equal($" / {queued}", await ListAsync(app.Http));
        await RunAsync(0, url, "cache", "drop", "in-the-queue");
        Assert.Equal(" / ", await ListAsync(app.Http));
        Assert.Contains("No image found", await RunAsync(1, url, "cache", "drop", Guid.NewGuid().ToString()), StringComparison.Ordinal);
        Assert.Contains("--cache DIR", await RunAsync(1, url, "cache", "prune", "--cache-size", "1G"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_cache_the_command_line_says_so()
    {
        await using var app = new RegistryApp();
        await app.InitializeAsync();
        foreach (var line in new[] { "list", "clear", "prune", "clean" })
        {
            Assert.Contains(
                "Caching via API is not supported at this site.", await RunAsync(1, app.Url.ToString(), "cache", line),
                StringComparison.Ordinal);
        }

        using var minor = await app.SendAsync(HttpMethod.Get, "/v2.16/images");
        Assert.Equal(300, (int)minor.StatusCode);
    }

    [Fact]
    public async Task The_glance_client_looks_after_the_cache()
    {
        await using var app = App("01:00:00");
        await app.InitializeAsync();
        var cached = await app.UploadAsync(Noise(200_000));
        var queued = await app.UploadAsync(Noise(1000));
        await app.Http.GetByteArrayAsync($"/v2/images/{cached}/file", RegistryApp.Stop);
        var words = new Dictionary<string, string>
        {
            ["cached"] = cached, ["queued"] = queued, ["missing"] = Guid.NewGuid().ToString(),
        };
        await ClientCommand.Glance(await lab.ClientsAsync(), app.Url, lab.NewHome(), words).RunAsync(
        [
            new("cache-queue {queued}"),
            new("cache-list", 0, "{cached} | cached", "{queued} | queued", "200000"),
            new("cache-delete {cached}"),
            new("cache-delete {missing}", 0, "HTTP 404 Not Found: No image found with ID {missing}"),
            new("cache-queue {cached}"),
            new("cache-clear --target queue"),
            new("cache-queue {queued}"),
            new("cache-clear"),
        ]);
        Assert.Equal(" / ", await ListAsync(app.Http));
    }

    private RegistryApp App(string queueDelay) => new()
    {
        Settings =
        {
            ["Registry:Cache:Directory"] = _directory.File("cache"),
            ["Registry:Cache:QueueDelay"] = queueDelay,
        },
    };

    private Task<RegistryProcess> StartAsync(string queueDelay) => RegistryProcess.StartAsync(
        Directory.CreateDirectory(_directory.File("data")).FullName, RegistryApp.Stop, new Dictionary<string, string>
        {
            ["Registry__Cache__Directory"] = _directory.File("cache"),
            ["Registry__Cache__QueueDelay"] = queueDelay,
        });

    private static async Task<string> UploadAsync(HttpClient http, byte[] content)
    {
        using var created = await http.PostAsync(
            "/v2/images", JsonContent.Create(new { disk_format = "raw", container_format = "bare" }), RegistryApp.Stop);
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>(RegistryApp.Stop)).GetProperty("id").GetString()!;
        using var body = new ByteArrayContent(content);
        body.Headers.ContentType = new("application/octet-stream");
        using var uploaded = await http.PutAsync($"/v2/images/{id}/file", body, RegistryApp.Stop);
        Assert.Equal(204, (int)uploaded.StatusCode);
        return id;
    }

    // Ids in the cache and ids in the queue.
    private static async Task<string> ListAsync(HttpClient http)
    {
        var list = await http.GetFromJsonAsync<JsonElement>("/v2/cache", RegistryApp.Stop);
        var cached = list.GetProperty("cached_images").EnumerateArray().Select(one => one.GetProperty("image_id").GetString());
        var queued = list.GetProperty("queued_images").EnumerateArray().Select(one => one.GetString());
        return $"{string.Join(' ', cached)} / {string.Join(' ', queued)}";
    }

    private static async Task WaitAsync(HttpClient http, string wanted)
    {
        while (await ListAsync(http) != wanted)
        {
            await Task.Delay(100, RegistryApp.Stop);
        }
    }

    private static async Task<string> RunAsync(int exitCode, string url, params string[] arguments)
    {
        var result = await RegistryCommandLine.RunAsync([.. arguments, "--url", url]);
        Assert.True(result.ExitCode == exitCode, $"{string.Join(' ', arguments)}: {result.Output}{result.Error}");
        return result.Output + result.Error;
    }

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        new Random(length).NextBytes(noise);
        return noise;
    }
}
