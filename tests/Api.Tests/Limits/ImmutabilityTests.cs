using System.Text;
using System.Text.Json;
using Registry.Api.Images;
using Registry.Support;

namespace Registry.Api.Tests.Limits;

/// <summary>What an active image is, for ever (spec/reliability.md, I8).</summary>
public sealed class ImmutabilityTests : IAsyncLifetime
{
    private static readonly byte[] Content = Encoding.ASCII.GetBytes("these and no others");
    private readonly TempDirectory _directory = new();
    private readonly RegistryApp _app = new();

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task What_an_active_image_is_cannot_be_changed()
    {
        var id = await _app.UploadAsync(Content);
        var before = (await _app.ShowAsync(id)).GetRawText();
        using (var again = await _app.PutAsync(id, [1, 2, 3]))
        {
            Assert.Equal(409, (int)again.StatusCode);
        }

        foreach (var name in ImageAttributes.ReadOnly.Append("locations").Append("os_glance_x").Append("deleted"))
        {
            foreach (var op in new[] { "add", "replace" })
            {
                var value = name switch
                {
                    "size" or "virtual_size" => "1",
                    "locations" => "[]",
                    _ => "\"x\"",
                };
                var path = name == "locations" && op == "add" ? "locations/-" : name;
                using var answer = await _app.PatchAsync(
                    id, $$"""[{"op":"{{op}}","path":"/{{path}}","value":{{value}}}]""");
                Assert.Equal((op, name, 403), (op, name, (int)answer.StatusCode));
            }
        }

        Assert.Equal(before, (await _app.ShowAsync(id)).GetRawText());
        using (var deleted = await _app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"))
        {
            Assert.Equal(204, (int)deleted.StatusCode);
        }

        using var taken = await _app.SendAsync(HttpMethod.Post, "/v2/images", $$"""{"id":"{{id}}"}""");
        Assert.Equal(409, (int)taken.StatusCode);
    }

    [Fact]
    public async Task What_an_active_image_is_cannot_be_taken_away_location_by_location()
    {
        await using var app = new RegistryApp
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
        await app.InitializeAsync();
        var id = await app.UploadAsync(Content);
        var before = await app.ShowAsync(id);
        await RequireLastLocationAsync(app, id, "one");
        Assert.Equal(before.GetRawText(), (await app.ShowAsync(id)).GetRawText());

        // With a copy elsewhere the first may go, and then the copy is the last.
        using (var asked = await app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/import", """{"method":{"name":"copy-image"},"stores":["two"]}"""))
        {
            Assert.Equal(202, (int)asked.StatusCode);
        }

        while ((await app.ShowAsync(id)).GetProperty("locations").GetArrayLength() < 2)
        {
            await Task.Delay(20, RegistryApp.Stop);
        }

        using (var removed = await app.PatchAsync(id, """[{"op":"remove","path":"/locations/0"}]"""))
        {
            Assert.Equal(200, (int)removed.StatusCode);
        }

        await RequireLastLocationAsync(app, id, "two");
        var after = await app.ShowAsync(id);
        foreach (var name in new[] { "id", "status", "size", "checksum", "os_hash_value", "owner", "created_at" })
        {
            Assert.Equal(Text(before, name), Text(after, name));
        }

        static string Text(JsonElement image, string name) => image.GetProperty(name).GetRawText();
    }

    // By each of the ways there are, and by several at once.
    private static async Task RequireLastLocationAsync(RegistryApp app, string id, string store)
    {
        foreach (var patch in new[]
        {
            """[{"op":"remove","path":"/locations/0"}]""",
            """[{"op":"remove","path":"/locations/-"}]""",
            """[{"op":"replace","path":"/locations","value":[]}]""",
            """[{"op":"replace","path":"/name","value":"other"},{"op":"remove","path":"/locations/0"}]""",
        })
        {
            using var answer = await app.PatchAsync(id, patch);
            Assert.Equal((patch, 403), (patch, (int)answer.StatusCode));
            Assert.Equal("last_location", Assert.Single(answer.Headers.GetValues("X-Registry-Reason")));
        }

        using (var answer = await app.SendAsync(HttpMethod.Delete, $"/v2/stores/{store}/{id}"))
        {
            Assert.Equal(403, (int)answer.StatusCode);
        }

        using (var answer = await app.PutAsync(id, [1, 2, 3]))
        {
            Assert.Equal(409, (int)answer.StatusCode);
        }

        Assert.Equal(Content, await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
    }
}
