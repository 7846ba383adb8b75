using System.Security.Cryptography;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Api.Tests.Stores;

/// <summary>Two buckets behind gates that can be shut, a directory, and a web server that publishes it.</summary>
public sealed class ManyStoresApp(SharedS3 s3) : RegistryApp
{
    private readonly TempDirectory _directory = new();

    public TcpGate First { get; private set; } = null!;

    public TcpGate Second { get; private set; } = null!;

    public DirectoryServer Mirror { get; private set; } = null!;

    public override void Require() => SharedS3.Require();

    public override async ValueTask InitializeAsync()
    {
        if (CephS3.IsInstalled)
        {
            await base.InitializeAsync();
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (First is not null)
        {
            await First.DisposeAsync();
            await Second.DisposeAsync();
            await Mirror.DisposeAsync();
        }

        _directory.Dispose();
    }

    /// <summary>Puts an image's blob into another store and records it, as a copy job does.</summary>
    public async Task CopyAsync(string id, string from, string to)
    {
        var stores = Services.GetRequiredService<StoreSet>();
        await using var db = await OpenDatabaseAsync();
        var location = await db.Locations.SingleAsync(l => l.ImageId == id && l.StoreId == from, Stop);
        var source = stores.Get(from);
        await using var writer = await stores.Get(to).BeginAsync(location.Key, location.DataLength, Stop);
        foreach (var (part, length) in new[]
        {
            (BlobPart.Data, location.DataLength), (BlobPart.Index, location.IndexLength),
        })
        {
            var bytes = new byte[length];
            Assert.Equal(length, await source.ReadAsync(location.Key, part, 0, bytes, Stop));
            await writer.AppendAsync(part, bytes, Stop);
        }

        await writer.CommitAsync(Stop);
        await RecordAsync(location, to);
    }

    /// <summary>Records that a store has a blob that it came to have on its own.</summary>
    public async Task RecordAsync(string id, string from, string to)
    {
        await using var db = await OpenDatabaseAsync();
        await RecordAsync(await db.Locations.SingleAsync(l => l.ImageId == id && l.StoreId == from, Stop), to);
    }

    public override async Task<IReadOnlyList<string>> StoredFilesAsync()
    {
        await Task.CompletedTask;
        return Directory.GetFiles(_directory.Path, "*", SearchOption.AllDirectories);
    }

    protected override async Task<Dictionary<string, string?>> SettingsAsync()
    {
        var server = await s3.GetAsync();
        First = new TcpGate(server.Endpoint);
        Second = new TcpGate(server.Endpoint);
        Mirror = new DirectoryServer(_directory.Path);
        var settings = SharedS3.Settings(0, "first", First.Address, server.NewBucket());
        foreach (var (key, value) in SharedS3.Settings(1, "second", Second.Address, server.NewBucket()))
        {
            settings[key] = value;
        }

        settings["Registry:Stores:1:Weight"] = "-1";
        settings["Registry:Stores:2:Id"] = "disk";
        settings["Registry:Stores:2:Path"] = _directory.Path;
        settings["Registry:Stores:2:Description"] = "the machine's own";
        settings["Registry:Stores:2:Default"] = "true";
        settings["Registry:Stores:2:Weight"] = "-2";
        settings["Registry:Stores:3:Id"] = "mirror";
        settings["Registry:Stores:3:Kind"] = "http";
        settings["Registry:Stores:3:Endpoint"] = Mirror.Address.ToString();
        settings["Registry:Stores:3:Weight"] = "10";
        return settings;
    }

    private Task<RegistryDb> OpenDatabaseAsync() =>
        Services.GetRequiredService<IDbContextFactory<RegistryDb>>().CreateDbContextAsync(Stop);

    private async Task RecordAsync(ImageLocation location, string to)
    {
        await using var db = await OpenDatabaseAsync();
        db.Locations.Add(new ImageLocation(
            location.Key, to, location.DataLength, location.IndexLength, location.IndexDigest, DateTimeOffset.UtcNow));
        await db.SaveChangesAsync(Stop);
    }
}

public sealed class StoreTests : IClassFixture<ManyStoresApp>
{
    private readonly ManyStoresApp app;

    public StoreTests(ManyStoresApp app)
    {
        app.Require();
        this.app = app;
    }

    [Fact]
    public async Task The_stores_are_told_with_flags_that_are_texts()
    {
        using var response = await app.SendAsync(HttpMethod.Get, "/v2/info/stores");
        var stores = (await RegistryApp.JsonAsync(response)).GetProperty("stores");
        Assert.Equal(
            """[{"id":"first"},{"id":"second"},{"id":"disk","description":"the machine's own","default":"true"},{"id":"mirror","read-only":"true"}]""",
            stores.GetRawText().Replace("\\u0027", "'", StringComparison.Ordinal));
        using var detail = await app.SendAsync(HttpMethod.Get, "/v2/info/stores/detail");
        var text = await detail.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.Contains("\"type\":\"s3\"", text, StringComparison.Ordinal);
        Assert.Contains("\"type\":\"file\"", text, StringComparison.Ordinal);
        Assert.Contains("\"weight\":10", text, StringComparison.Ordinal);
        Assert.DoesNotContain(CephS3.SecretKey, text, StringComparison.Ordinal);
        Assert.DoesNotContain(CephS3.AccessKey, text, StringComparison.Ordinal);
        using var created = await app.SendAsync(HttpMethod.Post, "/v2/images", "{}");
        Assert.Equal(
            "first,second,disk,mirror", Assert.Single(created.Headers.GetValues("OpenStack-image-store-ids")));
    }

    [Fact]
    public async Task An_upload_goes_to_the_store_it_names_or_to_the_default()
    {
        var named = await UploadAsync(RandomNumberGenerator.GetBytes(1000), "second");
        Assert.Equal("second", (await app.ShowAsync(named)).GetProperty("stores").GetString());
        var unnamed = await UploadAsync([1], null);
        Assert.Equal("disk", (await app.ShowAsync(unnamed)).GetProperty("stores").GetString());
        var queued = await app.CreateAsync();
        Assert.False((await app.ShowAsync(queued)).TryGetProperty("stores", out _));
        await ExpectAsync(app.PutAsync(queued, [1], "nowhere"), 400, "unknown_store");
        await ExpectAsync(app.PutAsync(queued, [1], "mirror"), 410, "store_read_only");
        Assert.Equal("queued", (await app.ShowAsync(queued)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task An_image_is_deleted_from_one_store_and_stays_in_the_other()
    {
        var content = RandomNumberGenerator.GetBytes(200_000);
        var id = await UploadAsync(content, "first");
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/first/{id}"), 403, "last_location");
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/second/{id}"), 403, "last_location");
        await app.CopyAsync(id, "first", "second");
        await app.CopyAsync(id, "first", "disk");
        Assert.Equal("first,second,disk", (await app.ShowAsync(id)).GetProperty("stores").GetString());

        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/nowhere/{id}"), 409, "unknown_store");
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/mirror/{id}"), 404, "not_found");
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/first/{Guid.NewGuid()}"), 404, "not_found");
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/first/{id}"), 204, null);
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/stores/first/{id}"), 404, "not_found");
        Assert.Equal("second,disk", (await app.ShowAsync(id)).GetProperty("stores").GetString());
        var first = app.Services.GetRequiredService<StoreSet>().Get("first");
        Assert.DoesNotContain(
            id, await first.ListAsync(RegistryApp.Stop).Select(e => e.Key.ImageId).ToListAsync(RegistryApp.Stop));
        Assert.Equal(content, await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
    }

    [Fact]
    public async Task An_image_is_read_where_it_can_be_while_a_store_is_down()
    {
        var content = RandomNumberGenerator.GetBytes((3 << 20) + 5);
        var id = await UploadAsync(content, "first");
        var alone = await UploadAsync(content, "first");
        await app.CopyAsync(id, "first", "second");
        app.First.Down();
        try
        {
            Assert.Equal(content, await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
            Assert.Equal(
                content,
                (await app.Http.GetByteArrayAsync($"/registry/v1/images/{id}/disk", RegistryApp.Stop))[..content.Length]);
            using var refused = await app.SendAsync(HttpMethod.Get, $"/v2/images/{alone}/file");
            Assert.Equal(503, (int)refused.StatusCode);
            Assert.Equal("store_unavailable", Assert.Single(refused.Headers.GetValues("X-Registry-Reason")));
            Assert.NotNull(refused.Headers.RetryAfter);

            var queued = await app.CreateAsync();
            await ExpectAsync(app.PutAsync(queued, content, "first"), 503, "store_unavailable");
            Assert.Equal("queued", (await app.ShowAsync(queued)).GetProperty("status").GetString());
            await ExpectAsync(app.PutAsync(queued, content, "second"), 204, null);
        }
        finally
        {
            app.First.Up();
        }

        Assert.Equal(content, await app.Http.GetByteArrayAsync($"/v2/images/{alone}/file", RegistryApp.Stop));
    }

    [Fact]
    public async Task A_download_goes_on_from_another_store_when_its_own_goes_down()
    {
        var content = RandomNumberGenerator.GetBytes(40 << 20);
        var id = await UploadAsync(content, "first");
        await app.CopyAsync(id, "first", "second");
        try
        {
            using var response = await app.Http.GetAsync(
                $"/v2/images/{id}/file", HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
            var body = await response.Content.ReadAsStreamAsync(RegistryApp.Stop);
            var got = new byte[content.Length];
            await body.ReadExactlyAsync(got.AsMemory(0, 1 << 20), RegistryApp.Stop);
            app.First.Down();
            await body.ReadExactlyAsync(got.AsMemory(1 << 20), RegistryApp.Stop);
            Assert.Equal(content, got);
        }
        finally
        {
            app.First.Up();
        }
    }

    [Fact]
    public async Task Bytes_that_one_store_has_damaged_come_from_another_and_the_damage_is_written_down()
    {
        var content = RandomNumberGenerator.GetBytes((3 << 20) + 5);
        var id = await UploadAsync(content, "disk");
        await app.RecordAsync(id, "disk", "mirror");
        await app.CopyAsync(id, "disk", "second");
        await app.FlipByteAsync(id, 2 << 20);
        Assert.Equal(content, await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.Equal([false, true, false], await app.DamagesAsync(id)); // of mirror alone: nobody has read from disk
    }

    [Fact]
    public async Task A_published_directory_is_read_by_ranges_and_never_written()
    {
        var content = RandomNumberGenerator.GetBytes((2 << 20) + 3);
        var id = await UploadAsync(content, "disk");
        await app.RecordAsync(id, "disk", "mirror");
        var before = app.Mirror.Requests;
        Assert.Equal(content, await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.True(app.Mirror.Requests > before); // it has the most weight
        await ExpectAsync(app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"), 204, null);
    }

    private async Task<string> UploadAsync(byte[] content, string? store)
    {
        var id = await app.CreateAsync();
        await ExpectAsync(app.PutAsync(id, content, store), 204, null);
        return id;
    }

    private static async Task ExpectAsync(Task<HttpResponseMessage> answer, int status, string? reason)
    {
        using var response = await answer;
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(
            reason,
            response.Headers.TryGetValues("X-Registry-Reason", out var reasons) ? reasons.Single() : null);
    }
}

public sealed class OneStoreTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Theory]
    [InlineData("GET", "/v2/info/stores")]
    [InlineData("GET", "/v2/info/stores/detail")]
    [InlineData("DELETE", "/v2/stores/default/00000000-0000-4000-8000-000000000000")]
    public async Task With_one_store_there_is_nothing_to_choose(string method, string path)
    {
        using var response = await app.SendAsync(new HttpMethod(method), path);
        Assert.Equal(404, (int)response.StatusCode);
        var id = await app.UploadAsync([1]);
        Assert.False((await app.ShowAsync(id)).TryGetProperty("stores", out _));
    }
}
