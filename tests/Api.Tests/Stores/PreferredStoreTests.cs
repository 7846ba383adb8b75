using System.Net.Http.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Api.Tests.Stores;

/// <summary>Downloads that name the stores to try first: <c>?prefer=</c> of version 2.18.</summary>
public sealed class PreferredStoreTests : IAsyncLifetime
{
    private static readonly byte[] Content = [1, 2, 3];
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app;

    public PreferredStoreTests() => _app = new RegistryApp
    {
        Settings =
        {
            ["Registry:Stores:0:Id"] = "one",
            ["Registry:Stores:0:Path"] = _directory.File("one"),
            ["Registry:Stores:1:Id"] = "two",
            ["Registry:Stores:1:Path"] = _directory.File("two"),
            ["Registry:Jobs:Poll"] = "00:00:00.05",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Stores_are_tried_in_the_order_that_is_asked_for_and_the_others_after_them()
    {
        var id = await CopiedAsync();
        var image = await FindAsync(id);
        var stores = _app.Services.GetRequiredService<StoreSet>();
        foreach (var (preferred, expected) in new (string[], string)[]
        {
            ([], "one"), (["one"], "one"), (["two"], "two"), (["two", "one"], "two"), (["one", "two"], "one"),
        })
        {
            using var blob = await stores.OpenAsync(image, preferred, RegistryApp.Stop);
            Assert.Equal(image.Locations.Single(l => l.StoreId == expected).Key, blob.Key);
        }

        Directory.Delete(_directory.File("two"), recursive: true);
        Directory.CreateDirectory(_directory.File("two"));
        Assert.Equal(Content, await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file?prefer=two", RegistryApp.Stop));
    }

    [Fact]
    public async Task A_store_that_is_not_configured_is_refused()
    {
        var id = await _app.UploadAsync(Content);
        foreach (var (query, status) in new[]
        {
            ("prefer=two,%20one", 200), ("prefer=", 200), ("prefer=,", 200), ("prefer=none", 400), ("prefer=one,none", 400),
            ("prefer=%FF", 400),
        })
        {
            using var response = await _app.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file?{query}");
            Assert.True(status == (int)response.StatusCode, query);
        }
    }

    private async Task<string> CopiedAsync()
    {
        var id = await _app.UploadAsync(Content);
        using var response = await _app.Http.PostAsJsonAsync(
            $"/v2/images/{id}/import", new { method = new { name = "copy-image" }, stores = new[] { "two" } },
            RegistryApp.Stop);
        Assert.Equal(202, (int)response.StatusCode);
        while ((await FindAsync(id)).Locations.Count < 2)
        {
            await Task.Delay(20, RegistryApp.Stop);
        }

        return id;
    }

    private async Task<Image> FindAsync(string id)
    {
        var databases = _app.Services.GetRequiredService<IDbContextFactory<RegistryDb>>();
        await using var db = await databases.CreateDbContextAsync(RegistryApp.Stop);
        return (await ImageQueries.FindAsync(db, id, Viewer.System, tracking: false, RegistryApp.Stop))!;
    }
}
