using System.Security.Cryptography;

namespace Registry.Api.Tests.Cache;

/// <summary>/v2/cache and its elders (spec/glance-v2.md, 2).</summary>
public sealed class CacheApiTests(CacheApp cache) : IClassFixture<CacheApp>
{
    private static readonly string[] Versions =
    [
        "v2.18", "v2.17", "v2.16", "v2.15", "v2.14", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1",
        "v2.0",
    ];

    [Fact]
    public async Task A_queued_image_is_fetched_and_listed()
    {
        var content = Noise(3_000_000);
        var id = await cache.App.UploadAsync(content);
        Assert.Null(await cache.FindAsync(id));
        Assert.Equal(202, (await cache.SendAsync(HttpMethod.Put, $"/v2/cache/{id}")).Status);
        var listed = await cache.WaitAsync(id);
        Assert.Equal(content.Length, listed.GetProperty("size").GetInt64());
        Assert.Equal(Hex(MD5.HashData(content)), listed.GetProperty("checksum").GetString());
        Assert.Equal(0, listed.GetProperty("hits").GetInt64());
        Assert.True(listed.GetProperty("id").GetInt64() > 0);
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        Assert.InRange(listed.GetProperty("last_modified").GetDouble(), now - 600, now + 1);
        Assert.InRange(listed.GetProperty("last_accessed").GetDouble(), now - 600, now + 1);
        Assert.Equal(content, await cache.DownloadAsync(id));
        Assert.Equal(1, (await cache.FindAsync(id))!.Value.GetProperty("hits").GetInt64());
        Assert.Equal(204, (await cache.SendAsync(HttpMethod.Delete, $"/v2/cache/{id}")).Status);
        Assert.Null(await cache.FindAsync(id));
        Assert.Equal(204, (await cache.SendAsync(HttpMethod.Delete, $"/v2/cache/{id}")).Status);
    }

    [Theory]
    [InlineData("cache", 202)]
    [InlineData("queued_images", 200)]
    public async Task What_is_in_the_cache_whole_is_not_queued(string route, int status)
    {
        await using var slow = new CacheApp { App = { Settings = { ["Registry:Cache:QueueDelay"] = "01:00:00" } } };
        await slow.InitializeAsync();
        var whole = await slow.App.UploadAsync(Noise(300_000));
        var missing = await slow.App.UploadAsync(Noise(300_000));
        await slow.DownloadAsync(whole);
        foreach (var id in new[] { whole, missing })
        {
            Assert.Equal(status, (await slow.SendAsync(HttpMethod.Put, $"/v2/{route}/{id}")).Status);
        }

        var (_, list) = await slow.SendAsync(HttpMethod.Get, "/v2/queued_images");
        Assert.Equal(missing, Assert.Single(list.GetProperty("queued_images").EnumerateArray()).GetString());
    }

    [Fact]
    public async Task What_was_downloaded_is_cached_and_what_was_read_in_part_is_not_listed()
    {
        var content = Noise(2_000_000);
        var id = await cache.App.UploadAsync(content);
        using var range = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
        range.Headers.Range = new(1_000_000, 1_000_099);
        using var part = await cache.App.Http.SendAsync(range, RegistryApp.Stop);
        Assert.Equal(content[1_000_000..1_000_100], await part.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
        Assert.Contains(cache.Files, file => file.StartsWith(id, StringComparison.Ordinal));
        Assert.Null(await cache.FindAsync(id));
        Assert.Equal(content, await cache.DownloadAsync(id));
        Assert.NotNull(await cache.FindAsync(id));
    }

    [Fact]
    public async Task An_image_of_zeroes_and_an_empty_one_are_cached()
    {
        foreach (var content in new[] { new byte[100_000], [] })
        {
            var id = await cache.App.UploadAsync(content);
            Assert.Equal(202, (await cache.SendAsync(HttpMethod.Put, $"/v2/cache/{id}")).Status);
            await cache.WaitAsync(id);
        }
    }

    [Fact]
    public async Task Only_active_images_are_queued_and_only_those_that_are_there()
    {
        var id = await cache.App.CreateAsync();
        Assert.Equal(400, (await cache.SendAsync(HttpMethod.Put, $"/v2/cache/{id}")).Status);
        Assert.Equal(204, (await cache.SendAsync(HttpMethod.Delete, $"/v2/cache/{id}")).Status);
        foreach (var missing in new[] { Guid.NewGuid().ToString(), "non-existing-image-id" })
        {
            Assert.Equal(404, (await cache.SendAsync(HttpMethod.Put, $"/v2/cache/{missing}")).Status);
            Assert.Equal(404, (await cache.SendAsync(HttpMethod.Delete, $"/v2/cache/{missing}")).Status);
            Assert.Equal(404, (await cache.SendAsync(HttpMethod.Get, $"/v2/cache/nodes/{missing}")).Status);
        }

        Assert.Equal(400, (await cache.SendAsync(HttpMethod.Delete, "/v2/cache", target: "invalid")).Status);
    }

    [Fact]
    public async Task Members_may_not_look_after_the_cache()
    {
        var id = await cache.App.UploadAsync(Noise(1000));
        foreach (var (method, path) in new[]
        {
            (HttpMethod.Get, "/v2/cache"), (HttpMethod.Delete, "/v2/cache"), (HttpMethod.Put, "/v2/cache/ID"),
            (HttpMethod.Delete, "/v2/cache/ID"), (HttpMethod.Get, "/v2/cache/nodes/ID"),
            (HttpMethod.Post, "/v2/cache/clean"), (HttpMethod.Post, "/v2/cache/prune"),
            (HttpMethod.Get, "/v2/cached_images"), (HttpMethod.Delete, "/v2/cached_images"),
            (HttpMethod.Delete, "/v2/cached_images/ID"), (HttpMethod.Get, "/v2/queued_images"),
            (HttpMethod.Delete, "/v2/queued_images"), (HttpMethod.Put, "/v2/queued_images/ID"),
            (HttpMethod.Delete, "/v2/queued_images/ID"),
        })
        {
            using var request = new HttpRequestMessage(method, path.Replace("ID", id, StringComparison.Ordinal));
            using var http = new HttpClient { BaseAddress = cache.App.Url };
            request.Headers.Add("X-Identity-Status", "Confirmed");
            request.Headers.Add("X-User-Id", "user");
            request.Headers.Add("X-Project-Id", "project");
            request.Headers.Add("X-Roles", "member,reader");
            using var response = await http.SendAsync(request, RegistryApp.Stop);
            Assert.True((int)response.StatusCode == 403, $"{method} {path}: {(int)response.StatusCode}");
        }
    }

    [Fact]
    public async Task The_older_routes_do_the_same()
    {
        var id = await cache.App.UploadAsync(Noise(200_000));
        var (status, answer) = await cache.SendAsync(HttpMethod.Put, $"/v2/queued_images/{id}");
        Assert.Equal((200, System.Text.Json.JsonValueKind.Null), (status, answer.ValueKind));
        await cache.WaitAsync(id);
        (status, answer) = await cache.SendAsync(HttpMethod.Get, "/v2/cached_images");
        Assert.Equal(200, status);
        Assert.Contains(
            answer.GetProperty("cached_images").EnumerateArray(), one => one.GetProperty("image_id").GetString() == id);
        (status, answer) = await cache.SendAsync(HttpMethod.Get, "/v2/queued_images");
        Assert.Equal((200, System.Text.Json.JsonValueKind.Array), (status, answer.GetProperty("queued_images").ValueKind));
        Assert.Equal(200, (await cache.SendAsync(HttpMethod.Delete, $"/v2/queued_images/{id}")).Status);
        Assert.NotNull(await cache.FindAsync(id));
        Assert.Equal(200, (await cache.SendAsync(HttpMethod.Delete, $"/v2/cached_images/{id}")).Status);
        Assert.Null(await cache.FindAsync(id));
        foreach (var gone in new[] { $"queued_images/{Guid.NewGuid()}", $"cached_images/{Guid.NewGuid()}" })
        {
            (status, answer) = await cache.SendAsync(HttpMethod.Delete, $"/v2/{gone}");
            Assert.Equal((200, System.Text.Json.JsonValueKind.Null), (status, answer.ValueKind));
        }

        (status, answer) = await cache.SendAsync(HttpMethod.Delete, "/v2/queued_images");
        Assert.Equal((200, 0), (status, answer.GetProperty("num_deleted").GetInt32()));
    }

    [Fact]
    public async Task A_deleted_image_leaves_the_cache()
    {
        var id = await cache.App.UploadAsync(Noise(500_000));
        await cache.DownloadAsync(id);
        Assert.Contains(cache.Files, file => file.StartsWith(id, StringComparison.Ordinal));
        using var deleted = await cache.App.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        Assert.Equal(204, (int)deleted.StatusCode);
        Assert.DoesNotContain(cache.Files, file => file.StartsWith(id, StringComparison.Ordinal));
        using var gone = await cache.App.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file");
        Assert.Equal(404, (int)gone.StatusCode);
        Assert.Null(await cache.FindAsync(id));
        Assert.Equal(404, (await cache.SendAsync(HttpMethod.Delete, $"/v2/cache/{id}")).Status);
    }

    [Fact]
    public async Task A_deactivated_image_is_not_handed_out_of_a_warm_cache()
    {
        var content = Noise(300_000);
        var id = await cache.App.UploadAsync(content);
        Assert.Equal(content, await cache.DownloadAsync(id));
        await ActAsync(id, "deactivate");
        Assert.Equal(403, await OwnerDownloadsAsync(id));
        Assert.Equal(content, await cache.DownloadAsync(id)); // administrators may
        Assert.Equal(400, (await cache.SendAsync(HttpMethod.Put, $"/v2/cache/{id}")).Status);
        await ActAsync(id, "reactivate");
        Assert.Equal(200, await OwnerDownloadsAsync(id));
    }

    [Fact]
    public async Task A_damaged_file_of_the_cache_is_not_handed_out()
    {
        var content = Noise(1_000_000);
        var id = await cache.App.UploadAsync(content);
        Assert.Equal(content, await cache.DownloadAsync(id));
        foreach (var name in cache.Files.Where(file => file.StartsWith(id, StringComparison.Ordinal)).ToList())
        {
            var path = Path.Combine(cache.Directory, "blocks", name);
            var bytes = await File.ReadAllBytesAsync(path, RegistryApp.Stop);
            bytes[bytes.Length / 2] ^= 1;
            await File.WriteAllBytesAsync(path, bytes[..^10], RegistryApp.Stop);
        }

        Assert.Equal(content, await cache.DownloadAsync(id));
    }

    [Fact]
    public async Task Nodes_cleaning_and_pruning()
    {
        var id = await cache.App.UploadAsync(Noise(70_000));
        var (status, nodes) = await cache.SendAsync(HttpMethod.Get, $"/v2/cache/nodes/{id}");
        Assert.Equal((200, 0), (status, nodes.GetArrayLength()));
        await cache.DownloadAsync(id);
        (_, nodes) = await cache.SendAsync(HttpMethod.Get, $"/v2/cache/nodes/{id}");
        Assert.Equal(cache.App.Url.ToString().TrimEnd('/'), Assert.Single(nodes.EnumerateArray()).GetString());
        Assert.Equal(200, (await cache.SendAsync(HttpMethod.Post, "/v2/cache/clean")).Status);
        Assert.NotNull(await cache.FindAsync(id));
        (status, var pruned) = await cache.SendAsync(HttpMethod.Post, "/v2/cache/prune");
        Assert.Equal(
            (200, 0, 0L),
            (status, pruned.GetProperty("total_files_pruned").GetInt32(),
                pruned.GetProperty("total_bytes_pruned").GetInt64()));
    }

    [Fact]
    public async Task The_versions_of_the_cache_are_told_and_taken()
    {
        using var response = await cache.App.SendAsync(HttpMethod.Get, "/versions");
        var versions = (await RegistryApp.JsonAsync(response)).GetProperty("versions").EnumerateArray().ToList();
        Assert.Equal(Versions, versions.Select(version => version.GetProperty("id").GetString()));
        Assert.Equal(
            ["CURRENT", .. Enumerable.Repeat("SUPPORTED", Versions.Length - 1)],
            versions.Select(version => version.GetProperty("status").GetString()));
        foreach (var version in Versions)
        {
            Assert.Equal(200, (await cache.SendAsync(HttpMethod.Get, $"/{version}/cache")).Status);
        }
    }

    private async Task ActAsync(string id, string action)
    {
        using var response = await cache.App.SendAsync(HttpMethod.Post, $"/v2/images/{id}/actions/{action}");
        Assert.Equal(204, (int)response.StatusCode);
    }

    private async Task<int> OwnerDownloadsAsync(string id)
    {
        using var http = new HttpClient { BaseAddress = cache.App.Url };
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
        request.Headers.Add("X-Identity-Status", "Confirmed");
        request.Headers.Add("X-User-Id", "user");
        request.Headers.Add("X-Project-Id", "project");
        request.Headers.Add("X-Roles", "member,reader");
        using var response = await http.SendAsync(request, RegistryApp.Stop);
        return (int)response.StatusCode;
    }

    private static byte[] Noise(int length)
    {
        var noise = new byte[length];
        Random.Shared.NextBytes(noise);
        return noise;
    }

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);
}
