using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Registry.Api.Tests.Import;

/// <summary>Staging and importing, its answers and its tasks.</summary>
public sealed class ImportTests : ImportLab
{
    private const string Direct = """{"method":{"name":"glance-direct"}}""";

    [Fact]
    public async Task What_is_staged_becomes_the_images_bytes()
    {
        var content = Bytes(3_000_000);
        var id = await App.CreateAsync();
        using (var staged = await StageAsync(id, content))
        {
            Assert.Equal(204, (int)staged.StatusCode);
        }

        var uploading = await App.ShowAsync(id);
        Assert.Equal("uploading", uploading.GetProperty("status").GetString());
        Assert.Equal(content.Length, uploading.GetProperty("size").GetInt64());
        using (var none = await App.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file"))
        {
            Assert.Equal(204, (int)none.StatusCode);
        }

        await ImportAsync(id, Direct);
        await SucceedAsync(id);
        var image = await App.ShowAsync(id);
        Assert.Equal("active", image.GetProperty("status").GetString());
        Assert.Equal(Convert.ToHexStringLower(MD5.HashData(content)), image.GetProperty("checksum").GetString());
        Assert.Equal(Convert.ToHexStringLower(SHA512.HashData(content)), image.GetProperty("os_hash_value").GetString());
        Assert.Equal(("", ""), (Text(image, "os_glance_importing_to_stores"), Text(image, "os_glance_failed_import")));
        Assert.False(image.TryGetProperty("os_glance_import_task", out _));
        Assert.Equal("one", Text(image, "stores"));
        Assert.Equal(content, await ContentAsync(id));
        Assert.Equal("one", Stored(id));
    }

    [Fact]
    public async Task Bytes_go_to_the_stores_that_are_named_and_to_no_other()
    {
        foreach (var (body, stores) in new[]
        {
            ("""{"method":{"name":"glance-direct"},"stores":["two"]}""", "two"),
            ("""{"method":{"name":"glance-direct"},"stores":["two","one"]}""", "one,two"),
            ("""{"method":{"name":"glance-direct"},"all_stores":true,"all_stores_must_succeed":false}""", "one,two"),
        })
        {
            var id = await App.CreateAsync();
            (await StageAsync(id, Bytes(500_000))).Dispose();
            await ImportAsync(id, body);
            await SucceedAsync(id);
            Assert.Equal(stores, Stored(id));
            Assert.Equal(stores.Split(',').Order(), Text(await App.ShowAsync(id), "stores").Split(',').Order());
            Assert.Equal(Bytes(500_000), await ContentAsync(id));
        }
    }

    [Fact]
    public async Task A_url_is_downloaded_and_its_task_tells_all()
    {
        await using var source = new WebSource();
        source.Serve(Bytes(2_500_000));
        var id = await App.CreateAsync();
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        Assert.Equal(Bytes(2_500_000), await ContentAsync(id));

        var task = await EndAsync(id);
        Assert.Equal("api_image_import", Text(task, "type"));
        Assert.Equal(id, Text(task, "image_id"));
        Assert.Equal(id, Text(task.GetProperty("result"), "image_id"));
        Assert.Equal(
            source.Url, Text(task.GetProperty("input").GetProperty("import_req").GetProperty("method"), "uri"));
        Assert.StartsWith("req-", Text(task, "request_id"), StringComparison.Ordinal);
        Assert.EndsWith("Z", Text(task, "expires_at"), StringComparison.Ordinal);

        var shown = await App.Http.GetFromJsonAsync<JsonElement>(Text(task, "self"), RegistryApp.Stop);
        Assert.Equal("success", Text(shown, "status"));
        var listed = await App.Http.GetFromJsonAsync<JsonElement>(
            "/v2/tasks?status=success&limit=5&sort_key=created_at&sort_dir=asc", RegistryApp.Stop);
        var stub = Assert.Single(listed.GetProperty("tasks").EnumerateArray());
        Assert.Equal(Text(task, "id"), Text(stub, "id"));
        Assert.False(stub.TryGetProperty("input", out _));
        Assert.Equal("/v2/schemas/tasks", Text(listed, "schema"));
        foreach (var schema in new[] { "task", "tasks" })
        {
            var document = await App.Http.GetFromJsonAsync<JsonElement>($"/v2/schemas/{schema}", RegistryApp.Stop);
            Assert.Equal(schema, Text(document, "name"));
        }
    }

    [Fact]
    public async Task An_import_that_fails_says_why_and_leaves_the_image_as_it_was()
    {
        var id = await App.CreateAsync("qcow2");
        (await StageAsync(id, Bytes(100_000))).Dispose();
        await ImportAsync(id, Direct);
        Assert.Equal("Image disk_format qcow2 does not match stream data raw", await FailAsync(id));
        var image = await App.ShowAsync(id);
        Assert.Equal("queued", Text(image, "status"));
        Assert.Equal(JsonValueKind.Null, image.GetProperty("size").ValueKind);
        Assert.Equal("one", Text(image, "os_glance_failed_import"));
        Assert.Equal("", Stored(id));

        // And it can be tried again.
        using var raw = await App.PatchAsync(id, """[{"op":"replace","path":"/disk_format","value":"raw"}]""");
        Assert.Equal(200, (int)raw.StatusCode);
        (await StageAsync(id, Bytes(100_000))).Dispose();
        await ImportAsync(id, Direct);
        await SucceedAsync(id);
        Assert.Equal("active", await StatusAsync(id));
    }

    [Fact]
    public async Task What_makes_no_sense_is_refused_with_Glances_codes()
    {
        var queued = await App.CreateAsync();
        foreach (var body in new[]
        {
            "[]", "{}", """{"method":"glance-direct"}""", """{"method":{}}""", """{"method":{"name":5}}""",
            """{"method":{"name":"odd"}}""", """{"method":{"name":"web-download"}}""",
            """{"method":{"name":"web-download","uri":"file:///etc/passwd"}}""",
            """{"method":{"name":"glance-direct"},"all_stores":"yes"}""",
            """{"method":{"name":"glance-direct"},"all_stores_must_succeed":1}""",
            """{"method":{"name":"glance-direct"},"stores":"one"}""",
            """{"method":{"name":"glance-direct"},"all_stores":true,"stores":["one"]}""",
        })
        {
            await ImportAsync(queued, body, 400);
        }

        await ImportAsync(queued, """{"method":{"name":"glance-direct"},"stores":["three"]}""", 409);
        await ImportAsync(queued, Direct, 409);
        await ImportAsync(queued, """{"method":{"name":"copy-image"},"all_stores":true}""", 409);
        await ImportAsync(Guid.NewGuid().ToString(), Direct, 404);
        using var missing = await StageAsync(Guid.NewGuid().ToString(), [1]);
        Assert.Equal(404, (int)missing.StatusCode);

        var active = await App.UploadAsync(Bytes(10));
        await ImportAsync(active, Direct, 409);
        await ImportAsync(active, """{"method":{"name":"copy-image"},"stores":["one"]}""", 400);
        using var late = await StageAsync(active, [1]);
        Assert.Equal(409, (int)late.StatusCode);

        using var formless = await App.SendAsync(HttpMethod.Post, "/v2/images", "{}");
        var bare = Text(await RegistryApp.JsonAsync(formless), "id");
        (await StageAsync(bare, [1])).Dispose();
        Assert.Contains("needs to be set before import", await ImportAsync(bare, Direct, 409),
            StringComparison.Ordinal);
        using var again = await StageAsync(bare, [1]);
        Assert.Equal(409, (int)again.StatusCode);

        using var noType = await App.SendAsync(HttpMethod.Put, $"/v2/images/{queued}/stage", "x", "text/plain");
        Assert.Equal(415, (int)noType.StatusCode);
        foreach (var query in new[] { "status=odd", "type=odd", "limit=x", "marker=x", "sort_key=odd", "sort_dir=odd" })
        {
            using var response = await App.SendAsync(HttpMethod.Get, $"/v2/tasks?{query}");
            Assert.Equal(400, (int)response.StatusCode);
        }
    }

    [Fact]
    public async Task An_image_that_is_staged_can_get_its_formats_late()
    {
        using var formless = await App.SendAsync(HttpMethod.Post, "/v2/images", "{}");
        var id = Text(await RegistryApp.JsonAsync(formless), "id");
        (await StageAsync(id, Bytes(1000))).Dispose();
        using var patched = await App.PatchAsync(
            id,
            """
            [{"op":"replace","path":"/disk_format","value":"raw"},
             {"op":"replace","path":"/container_format","value":"bare"}]
            """);
        Assert.Equal(200, (int)patched.StatusCode);
        await ImportAsync(id, Direct);
        await SucceedAsync(id);
    }

    [Fact]
    public async Task An_active_image_is_copied_to_another_store()
    {
        var id = await App.UploadAsync(Bytes(700_000));
        await ImportAsync(id, """{"method":{"name":"copy-image"},"all_stores":true}""");
        await SucceedAsync(id);
        Assert.Equal("one,two", Stored(id));
        Assert.Equal("active", await StatusAsync(id));
        Assert.Equal("", Text(await App.ShowAsync(id), "os_glance_failed_import"));
    }

    [Fact]
    public async Task A_second_import_meets_the_first_and_a_delete_ends_it()
    {
        await using var source = new WebSource();
        var started = new TaskCompletionSource();
        source.Answer = async (_, stream) =>
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"));
            await stream.WriteAsync(new byte[100_000]);
            started.TrySetResult();
            await Task.Delay(Timeout.Infinite, RegistryApp.Stop);
        };
        var id = await App.CreateAsync();
        await DownloadAsync(id, source.Url);
        await started.Task.WaitAsync(RegistryApp.Stop);
        Assert.Equal("importing", await StatusAsync(id));
        var text = await DownloadAsync(id, source.Url, 409);
        Assert.Contains("Image has active task", text, StringComparison.Ordinal);
        var shown = await App.ShowAsync(id);
        Assert.Equal("one", Text(shown, "os_glance_importing_to_stores"));
        var taskPath = $"/v2/tasks/{Text(shown, "os_glance_import_task")}";

        using var deleted = await App.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        Assert.Equal(204, (int)deleted.StatusCode);
        JsonElement task;
        do
        {
            await Task.Delay(50, RegistryApp.Stop);
            task = await App.Http.GetFromJsonAsync<JsonElement>(taskPath, RegistryApp.Stop);
        }
        while (Text(task, "status") != "failure");

        Assert.Contains("was deleted", Text(task, "message"), StringComparison.Ordinal);
        Assert.Equal("", Stored(id));
    }

    [Fact]
    public async Task Clients_are_told_which_methods_and_stores_there_are()
    {
        using var created = await App.SendAsync(HttpMethod.Post, "/v2/images", "{}");
        Assert.Equal(
            "glance-direct,web-download,copy-image",
            created.Headers.GetValues("OpenStack-image-import-methods").Single());
        Assert.Equal("one,two", created.Headers.GetValues("OpenStack-image-store-ids").Single());
        var info = await App.Http.GetFromJsonAsync<JsonElement>("/v2/info/import", RegistryApp.Stop);
        Assert.Equal(
            ["glance-direct", "web-download", "copy-image"],
            info.GetProperty("import-methods").GetProperty("value").EnumerateArray().Select(m => m.GetString()));
    }

    [Fact]
    public async Task Nobody_sets_what_the_server_keeps()
    {
        var id = await App.CreateAsync();
        using var set = await App.PatchAsync(
            id, """[{"op":"add","path":"/os_glance_import_task","value":"x"}]""");
        Assert.Equal(403, (int)set.StatusCode);
    }

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";

    public ImportTests()
        : base(("Registry:Uploads:Lease", "00:00:01"))
    {
    }
}
