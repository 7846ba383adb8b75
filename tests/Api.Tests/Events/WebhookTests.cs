using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Events;

/// <summary>What happens to images, told to a real receiver (spec/glance-v2.md, 9).</summary>
public sealed class WebhookTests : IAsyncLifetime
{
    private readonly EventReceiver _receiver = new();
    private RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        _app = NewApp();
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _receiver.DisposeAsync();
    }

    [Fact]
    public async Task The_life_of_an_image_is_told_in_order_and_signed()
    {
        var id = await LiveAsync();
        await _receiver.WaitAsync(id, "image.delete", RegistryApp.Stop);
        var told = _receiver.Taken(id);
        Assert.Equal(
            [
                "image.create", "image.update", "image.prepare", "image.upload", "image.activate", "image.member.create",
                "image.member.update", "image.member.delete", "image.update", "image.delete",
            ],
            told.Select(e => e.Type));
        Assert.All(told, e =>
        {
            Assert.StartsWith("application/cloudevents+json", e.ContentType, StringComparison.Ordinal);
            Assert.Equal(
                "sha256=" + Convert.ToHexStringLower(HMACSHA256.HashData("key"u8, e.Body)), e.Signature);
            Assert.Equal("1.0", e.Json.GetProperty("specversion").GetString());
            Assert.Equal("https://images.example", e.Json.GetProperty("source").GetString());
            Assert.True(e.Json.GetProperty("time").TryGetDateTimeOffset(out _));
            Assert.Equal("application/json", e.Json.GetProperty("datacontenttype").GetString());
        });

        var active = told[4].Json.GetProperty("data");
        Assert.Equal("active", active.GetProperty("status").GetString());
        Assert.Equal(3, active.GetProperty("size").GetInt64());
        Assert.Equal(Convert.ToHexStringLower(MD5.HashData([1, 2, 3])), active.GetProperty("checksum").GetString());
        Assert.Equal("""{"color":"red"}""", active.GetProperty("properties").GetRawText());
        Assert.Equal("""["t"]""", active.GetProperty("tags").GetRawText());
        Assert.False(active.GetProperty("deleted").GetBoolean());
        Assert.False(active.TryGetProperty("locations", out _));
        var member = told[6].Json.GetProperty("data");
        Assert.Equal(id, member.GetProperty("image_id").GetString());
        Assert.Equal("friend", member.GetProperty("member_id").GetString());
        Assert.Equal("accepted", member.GetProperty("status").GetString());
        var deleted = told[^1].Json.GetProperty("data");
        Assert.True(deleted.GetProperty("deleted").GetBoolean());
        Assert.Equal("""{"color":"blue"}""", deleted.GetProperty("properties").GetRawText());
    }

    [Theory]
    [InlineData(500)]
    [InlineData(302)]
    [InlineData(404)]
    public async Task What_was_not_taken_is_told_again_under_the_same_id_and_order_is_kept(int status)
    {
        _receiver.Answer = Refusing(2, status);
        var image = await LiveAsync();
        await _receiver.WaitAsync(image, "image.delete", RegistryApp.Stop);
        var posts = _receiver.Received.Where(e => e.Subject == image).ToList();
        Assert.Equal(10, _receiver.Taken(image).Count);
        Assert.All(posts.GroupBy(e => e.Id), posted => Assert.Equal(3, posted.Count()));
        Assert.Equal(posts.Select(e => e.Id).Distinct(), _receiver.Taken(image).Select(e => e.Id));
        Assert.DoesNotContain(posts, e => e.Status == 0); // nobody went where a redirect led
    }

    [Fact]
    public async Task One_image_whose_event_is_not_taken_keeps_no_other_waiting()
    {
        var stuck = await _app.CreateAsync();
        await _receiver.WaitAsync(stuck, "image.create", RegistryApp.Stop);
        _receiver.Answer = json => json.GetProperty("subject").GetString() == stuck ? 400 : 204;
        using var patched = await _app.PatchAsync(stuck, """[{"op":"replace","path":"/name","value":"x"}]""");
        for (var i = 0; i < 5; i++)
        {
            await _receiver.WaitAsync(await _app.CreateAsync(), "image.create", RegistryApp.Stop);
        }

        Assert.Single(_receiver.Taken(stuck));
        _receiver.Answer = _ => 204;
        await _receiver.WaitAsync(stuck, "image.update", RegistryApp.Stop);
    }

    [Fact]
    public async Task Who_wants_to_hear_of_downloads_does()
    {
        await _app.DisposeAsync();
        _app = NewApp(("Registry:Events:Disabled", "image.update"));
        await _app.InitializeAsync();
        var content = new byte[100_000];
        new Random(5).NextBytes(content);
        var id = await _app.UploadAsync(content);
        Assert.Equal(100_000, (await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop)).Length);
        await _receiver.WaitAsync(id, "image.send", RegistryApp.Stop);
        var whole = _receiver.Taken(id).Single(e => e.Type == "image.send").Json.GetProperty("data");
        Assert.Equal(
            $$"""
            {"bytes_sent":100000,"image_id":"{{id}}","owner_id":"default","receiver_tenant_id":"default",
            "receiver_user_id":{{whole.GetProperty("receiver_user_id").GetRawText()}},"destination_ip":"127.0.0.1"}
            """.ReplaceLineEndings(""),
            whole.GetRawText());

        await _app.FlipByteAsync(id, 70_000);
        await Assert.ThrowsAnyAsync<HttpRequestException>(
            () => _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        await _receiver.WaitAsync(id, "image.send.error", RegistryApp.Stop);
        var broken = _receiver.Taken(id).Single(e => e.Type == "image.send.error").Json.GetProperty("data");
        Assert.InRange(broken.GetProperty("bytes_sent").GetInt64(), 0, 99_999);
        Assert.DoesNotContain(_receiver.Taken(id), e => e.Type == "image.update");
    }

    [Fact]
    public async Task Nobody_hears_of_downloads_by_default_and_of_imports_everybody()
    {
        var id = await _app.CreateAsync();
        using var content = new ByteArrayContent(new byte[1000]);
        content.Headers.ContentType = new("application/octet-stream");
        using var staged = await _app.Http.PutAsync($"/v2/images/{id}/stage", content, RegistryApp.Stop);
        using var imported = await _app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/import", """{"method":{"name":"glance-direct"}}""");
        Assert.Equal(202, (int)imported.StatusCode);
        await _receiver.WaitAsync(id, "image.activate", RegistryApp.Stop);
        await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop);
        using var deleted = await _app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        await _receiver.WaitAsync(id, "image.delete", RegistryApp.Stop);
        Assert.DoesNotContain(_receiver.Taken(id), e => e.Type.StartsWith("image.send", StringComparison.Ordinal));

        var tasks = await RegistryApp.JsonAsync(await _app.SendAsync(HttpMethod.Get, "/v2/tasks"));
        var task = tasks.GetProperty("tasks")[0].GetProperty("id").GetString()!;
        await _receiver.WaitAsync(task, "task.success", RegistryApp.Stop);
        Assert.Equal(
            ["task.create", "task.run", "task.processing", "task.success"], _receiver.Taken(task).Select(e => e.Type));
        Assert.Equal(
            "api_image_import", _receiver.Taken(task)[0].Json.GetProperty("data").GetProperty("type").GetString());
    }

    [Fact]
    public void A_word_that_stands_for_nothing_is_a_mistake()
    {
        var options = new RegistryOptions { Events = new() { Disabled = "image.sent" } };
        var mistake = Assert.Throws<ConfigurationException>(options.Validate);
        Assert.StartsWith("Registry:Events:Disabled is 'image.sent'", mistake.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_change_that_was_refused_is_not_told()
    {
        var id = await _app.CreateAsync();
        using var refused = await _app.PatchAsync(id, """[{"op":"replace","path":"/unknown","value":"x"}]""");
        Assert.Equal(409, (int)refused.StatusCode);
        using var nothing = await _app.PatchAsync(id, "[]");
        using var deleted = await _app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        await _receiver.WaitAsync(id, "image.delete", RegistryApp.Stop);
        Assert.Equal(["image.create", "image.delete"], _receiver.Taken(id).Select(e => e.Type));
    }

    [Fact]
    public async Task What_was_committed_before_a_kill_is_told_after_it()
    {
        using var directory = new TempDirectory();
        var port = Ports.Free(); // nobody there yet
        var settings = new Dictionary<string, string>
        {
            ["Registry__Events__Webhook"] = $"http://127.0.0.1:{port}/hook",
            ["Registry__Events__Poll"] = "00:00:00.05",
            ["Registry__Events__PauseMax"] = "00:00:00.2",
            ["Registry__Jobs__Lease"] = "00:00:01",
        };
        string id;
        await using (var first = await RegistryProcess.StartAsync(directory.Path, RegistryApp.Stop, settings))
        {
            using var created = await first.Client.PostAsJsonAsync("/v2/images", new { name = "n" }, RegistryApp.Stop);
            id = (await created.Content.ReadFromJsonAsync<JsonElement>(RegistryApp.Stop)).GetProperty("id").GetString()!;
            await first.KillAsync();
        }

        await using var receiver = new EventReceiver(port);
        await using var second = await RegistryProcess.StartAsync(directory.Path, RegistryApp.Stop, settings);
        await receiver.WaitAsync(id, "image.create", RegistryApp.Stop);
        Assert.Null(receiver.Taken(id)[0].Signature);
        await second.StopAsync();
    }

    private RegistryApp NewApp(params (string Name, string Value)[] settings)
    {
        var app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Events:Webhook"] = _receiver.Url,
                ["Registry:Events:Secret"] = "key",
                ["Registry:Events:Source"] = "https://images.example",
                ["Registry:Events:Poll"] = "00:00:00.05",
                ["Registry:Events:Timeout"] = "00:00:01",
                ["Registry:Events:PauseMax"] = "00:00:00.2",
                ["Registry:Jobs:Poll"] = "00:00:00.05",
            },
        };
        foreach (var (name, value) in settings)
        {
            app.Settings[name] = value;
        }

        return app;
    }

    private static Func<JsonElement, int> Refusing(int times, int status)
    {
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        return json =>
        {
            var id = json.GetProperty("id").GetString()!;
            seen[id] = seen.GetValueOrDefault(id) + 1;
            return seen[id] > times ? 204 : status;
        };
    }

    // Create, change, upload, share, answer, end sharing, change, delete.
    private async Task<string> LiveAsync()
    {
        var id = await _app.CreateAsync(extra: ",\"tags\":[\"t\"]");
        await DoAsync(_app.PatchAsync(id, """[{"op":"add","path":"/color","value":"red"}]"""));
        await DoAsync(_app.PutAsync(id, [1, 2, 3]));
        await DoAsync(_app.SendAsync(HttpMethod.Post, $"/v2/images/{id}/members", """{"member":"friend"}"""));
        await DoAsync(_app.SendAsync(HttpMethod.Put, $"/v2/images/{id}/members/friend", """{"status":"accepted"}"""));
        await DoAsync(_app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}/members/friend"));
        await DoAsync(_app.PatchAsync(id, """[{"op":"replace","path":"/color","value":"blue"}]"""));
        await DoAsync(_app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}"));
        return id;
    }

    private static async Task DoAsync(Task<HttpResponseMessage> request)
    {
        using var response = await request;
        Assert.True(response.IsSuccessStatusCode, Encoding.UTF8.GetString(
            await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop)));
    }
}
