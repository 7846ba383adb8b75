using System.Net.Http.Json;
using System.Text.Json;

namespace Registry.Api.Tests.Cache;

/// <summary>A registry with a cache, and a directory store that is treated as if it were distant.</summary>
public sealed class CacheApp : IAsyncLifetime
{
    /// <summary>The registry.</summary>
    public RegistryApp App { get; } = new()
    {
        Settings =
        {
            ["Registry:Cache:Directory"] = Path.Combine(Path.GetTempPath(), $"registry-cache-{Guid.NewGuid():N}"),
            ["Registry:Cache:QueueDelay"] = "00:00:00",
            ["Registry:Auth:Kind"] = "proxy",
        },
    };

    /// <summary>The cache's directory.</summary>
    public string Directory => App.Settings["Registry:Cache:Directory"]!;

    /// <summary>Names of the files of blocks.</summary>
    public IEnumerable<string> Files =>
        System.IO.Directory.GetFiles(Path.Combine(Directory, "blocks")).Select(file => Path.GetFileName(file));

    public async ValueTask InitializeAsync()
    {
        await App.InitializeAsync();
        As("admin", "admin,member,reader");
    }

    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    /// <summary>Makes a request as an administrator unless told otherwise.</summary>
    public async Task<(int Status, JsonElement Body)> SendAsync(
        HttpMethod method, string path, string? target = null, string? roles = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (target is not null)
        {
            request.Headers.Add("x-image-cache-clear-target", target);
        }

        if (roles is not null)
        {
            request.Headers.Add("X-Identity-Status", "Confirmed");
            request.Headers.Add("X-Roles", roles);
            request.Headers.Add("X-Project-Id", "project");
        }

        using var response = await App.Http.SendAsync(request, RegistryApp.Stop);
        var hasJson = response.Content.Headers.ContentType?.MediaType == "application/json";
        return (
            (int)response.StatusCode,
            hasJson ? await response.Content.ReadFromJsonAsync<JsonElement>(RegistryApp.Stop) : default);
    }

    /// <summary>Downloads an image.</summary>
    public Task<byte[]> DownloadAsync(string id) => App.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop);

    /// <summary>What is cached of an image, as the list says; null when it is not listed.</summary>
    public async Task<JsonElement?> FindAsync(string id)
    {
        var (status, list) = await SendAsync(HttpMethod.Get, "/v2/cache");
        Assert.Equal(200, status);
        foreach (var image in list.GetProperty("cached_images").EnumerateArray())
        {
            if (image.GetProperty("image_id").GetString() == id)
            {
                return image;
            }
        }

        return null;
    }

    /// <summary>Waits until an image is in the cache and out of the queue.</summary>
    public async Task<JsonElement> WaitAsync(string id)
    {
        while (true)
        {
            var (_, list) = await SendAsync(HttpMethod.Get, "/v2/cache");
            var isQueued = list.GetProperty("queued_images").EnumerateArray().Any(queued => queued.GetString() == id);
            if (!isQueued && await FindAsync(id) is { } found)
            {
                return found;
            }

            await Task.Delay(50, RegistryApp.Stop);
        }
    }

    private void As(string user, string roles)
    {
        App.Http.DefaultRequestHeaders.Add("X-Identity-Status", "Confirmed");
        App.Http.DefaultRequestHeaders.Add("X-User-Id", user);
        App.Http.DefaultRequestHeaders.Add("X-Project-Id", "project");
        App.Http.DefaultRequestHeaders.Add("X-Roles", roles);
    }
}
