using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Registry.Storage.Blobs;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Api.Tests.Stores;

/// <summary>The last copy of an image that is known to be whole cannot be removed.</summary>
public sealed class LastWholeCopyTests : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public LastWholeCopyTests() => _app = new RegistryApp
    {
        Settings =
        {
            ["Registry:Stores:0:Id"] = "one",
            ["Registry:Stores:0:Path"] = _directory.File("one"),
            ["Registry:Stores:1:Id"] = "two",
            ["Registry:Stores:1:Path"] = _directory.File("two"),
            ["Registry:Locations:ShowMultiple"] = "true",
            ["Registry:Jobs:Poll"] = "00:00:00.05",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task While_the_other_copy_is_marked_as_damaged(bool isPatch)
    {
        var id = await CopiedAsync();
        var health = _app.Services.GetRequiredService<LocationHealth>();
        var copy = await CopyOfAsync(id);
        Assert.False(await health.MarkAsync(
            copy with { Generation = copy.Generation - 1 }, "two", repair: null, RegistryApp.Stop)); // an earlier one
        Assert.True(await health.MarkAsync(copy, "two", repair: null, RegistryApp.Stop));
        await RefusedAsync(id, isPatch);
        await health.ClearAsync(copy, "two", RegistryApp.Stop);
        await RemovedAsync(id, isPatch);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task While_the_other_copy_is_gone_from_its_store(bool isPatch)
    {
        var id = await CopiedAsync();
        var (there, away) = (Path.Combine(_directory.File("two"), id), _directory.File("away"));
        Directory.Move(there, away);
        await RefusedAsync(id, isPatch);
        Directory.Move(away, there);
        await RemovedAsync(id, isPatch);
    }

    [Theory]
    [InlineData("data")]
    [InlineData("index")]
    public async Task While_the_other_copy_is_shorter_than_it_was(string part)
    {
        var id = await CopiedAsync();
        var file = Directory.GetFiles(Path.Combine(_directory.File("two"), id), part, SearchOption.AllDirectories).Single();
        using (var stream = new FileStream(file, FileMode.Open))
        {
            stream.SetLength(stream.Length - 1);
        }

        await RefusedAsync(id, isPatch: false);
        await RefusedAsync(id, isPatch: true);
    }

    [Fact]
    public async Task Of_both_copies_that_are_removed_at_the_same_time_one_stays()
    {
        var id = await CopiedAsync();
        var statuses = await Task.WhenAll(new[] { "one", "two" }.Select(async store =>
        {
            using var response = await _app.SendAsync(HttpMethod.Delete, $"/v2/stores/{store}/{id}");
            return (int)response.StatusCode;
        }));
        Assert.Single(statuses, 204);
        Assert.Equal(300_000, (await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop)).Length);
    }

    private async Task RefusedAsync(string id, bool isPatch)
    {
        using var refused = await RemoveAsync(id, isPatch);
        Assert.Equal(409, (int)refused.StatusCode);
        Assert.Equal("last_whole_location", Assert.Single(refused.Headers.GetValues("X-Registry-Reason")));
        Assert.Equal("one,two", (await _app.ShowAsync(id)).GetProperty("stores").GetString());
        Assert.Equal(300_000, (await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop)).Length);
    }

    private async Task RemovedAsync(string id, bool isPatch)
    {
        using var removed = await RemoveAsync(id, isPatch);
        Assert.True(removed.IsSuccessStatusCode, $"{removed.StatusCode}");
        Assert.Equal("two", (await _app.ShowAsync(id)).GetProperty("stores").GetString());
        Assert.Equal(300_000, (await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop)).Length);
    }

    private async Task<HttpResponseMessage> RemoveAsync(string id, bool isPatch)
    {
        if (!isPatch)
        {
            return await _app.SendAsync(HttpMethod.Delete, $"/v2/stores/one/{id}");
        }

        using var patch = new HttpRequestMessage(HttpMethod.Patch, $"/v2/images/{id}")
        {
            Content = new StringContent(
                """[{"op":"remove","path":"/locations/0"}]""", null, "application/openstack-images-v2.1-json-patch"),
        };
        return await _app.Http.SendAsync(patch, RegistryApp.Stop);
    }

    private async Task<BlobKey> CopyOfAsync(string id)
    {
        await using var db = await _app.Services.GetRequiredService<IDbContextFactory<RegistryDb>>()
            .CreateDbContextAsync(RegistryApp.Stop);
        return (await db.Locations.SingleAsync(l => l.ImageId == id && l.StoreId == "two", RegistryApp.Stop)).Key;
    }

    // An image in both stores; the first has it longest.
    private async Task<string> CopiedAsync()
    {
        var bytes = new byte[300_000];
        new Random(5).NextBytes(bytes);
        var id = await _app.UploadAsync(bytes);
        using var asked = await _app.Http.PostAsJsonAsync(
            $"/registry/v1/images/{id}/copies", new { store = "two" }, RegistryApp.Stop);
        var job = (await RegistryApp.JsonAsync(asked)).GetProperty("id").GetString();
        while ((await _app.Http.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{job}", RegistryApp.Stop))
            .GetProperty("ended_at").ValueKind == JsonValueKind.Null)
        {
            await Task.Delay(20, RegistryApp.Stop);
        }

        Assert.Equal("one,two", (await _app.ShowAsync(id)).GetProperty("stores").GetString());
        return id;
    }
}
