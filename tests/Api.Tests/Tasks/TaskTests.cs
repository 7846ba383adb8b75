using System.Net.Http.Json;
using System.Text.Json;
using Registry.Api.Tests.Import;

namespace Registry.Api.Tests.Tasks;

/// <summary>Tasks that clients make: an image is registered and downloaded in one.</summary>
public sealed class TaskTests : ImportLab
{
    [Fact]
    public async Task A_task_makes_an_image_and_downloads_its_bytes()
    {
        await using var source = new WebSource();
        source.Serve(Bytes(1_500_000));
        var input = $$$"""
            {"import_from":"{{{source.Url}}}","import_from_format":"raw",
             "image_properties":{"name":"fetched","os_distro":"debian","min_disk":2,"tags":["t"]}}
            """;
        using var made = await CreateAsync($$$"""{"type":"import","input":{{{input}}}}""");
        Assert.Equal(201, (int)made.StatusCode);
        var task = await RegistryApp.JsonAsync(made);
        Assert.Equal($"{App.Url}v2/tasks/{Text(task, "id")}", made.Headers.Location!.OriginalString);
        Assert.Equal(("import", "pending"), (Text(task, "type"), Text(task, "status")));
        Assert.True(JsonElement.DeepEquals(JsonDocument.Parse(input).RootElement, task.GetProperty("input")));

        var id = Text(task, "image_id");
        await SucceedAsync(id);
        var image = await App.ShowAsync(id);
        Assert.Equal(
            ("active", "fetched", "debian", "raw", "bare"),
            (Text(image, "status"), Text(image, "name"), Text(image, "os_distro"), Text(image, "disk_format"),
                Text(image, "container_format")));
        Assert.Equal(Bytes(1_500_000), await ContentAsync(id));

        var shown = await App.Http.GetFromJsonAsync<JsonElement>($"/v2/tasks/{Text(task, "id")}", RegistryApp.Stop);
        Assert.Equal("success", Text(shown, "status"));
        Assert.Equal(id, Text(shown.GetProperty("result"), "image_id"));
        Assert.Equal([Text(task, "id")], await ListAsync("?type=import"));
        Assert.Empty(await ListAsync("?type=api_image_import"));
    }

    [Fact]
    public async Task A_task_that_fails_says_why_and_takes_its_image_back()
    {
        await using var source = new WebSource();
        source.Serve(Bytes(100_000));
        using var made = await CreateAsync(Import(source.Url, "qcow2"));
        var task = await RegistryApp.JsonAsync(made);
        var ended = await EndedAsync(Text(task, "id"));
        Assert.Equal("failure", Text(ended, "status"));
        Assert.Equal("Image disk_format qcow2 does not match stream data raw", Text(ended, "message"));
        using var gone = await App.SendAsync(HttpMethod.Get, $"/v2/images/{Text(task, "image_id")}");
        Assert.Equal(404, (int)gone.StatusCode);
        Assert.Equal("", Stored(Text(task, "image_id")));
    }

    [Fact]
    public async Task A_protected_image_of_a_task_that_fails_stays()
    {
        await using var source = new WebSource();
        source.Serve(Bytes(100_000));
        using var made = await CreateAsync(Import(source.Url, "qcow2", """{"protected":true}"""));
        var task = await RegistryApp.JsonAsync(made);
        Assert.Equal("failure", Text(await EndedAsync(Text(task, "id")), "status"));
        Assert.Equal("queued", await StatusAsync(Text(task, "image_id")));
    }

    [Theory]
    [InlineData("[]", 400)]
    [InlineData("{}", 400)]
    [InlineData("""{"type":"import"}""", 400)]
    [InlineData("""{"type":"import","input":[]}""", 400)]
    [InlineData("""{"type":"import","input":{}}""", 400)]
    [InlineData("""{"type":"nonsense","input":{}}""", 400)]
    [InlineData("""{"type":"api_image_import","input":{"image_id":"x"}}""", 400)]
    [InlineData("""{"type":"location_import","input":{"image_id":"x"}}""", 400)]
    [InlineData("""{"type":"import","input":{"import_from":"http://127.0.0.1/x","image_properties":{}}}""", 400)]
    [InlineData("""{"type":"import","input":{"import_from":"http://127.0.0.1/x","import_from_format":"raw"}}""", 400)]
    public async Task What_makes_no_sense_is_refused(string body, int status)
    {
        using var refused = await CreateAsync(body);
        Assert.Equal(status, (int)refused.StatusCode);
    }

    [Theory]
    [InlineData("file:///etc/passwd", "raw", "{}", 400)]
    [InlineData("filesystem:///etc/passwd", "raw", "{}", 400)]
    [InlineData("swift://x/y", "raw", "{}", 400)]
    [InlineData("http://169.254.169.254/latest", "raw", "{}", 400)]
    [InlineData("http://user:password@127.0.0.1/x", "raw", "{}", 400)]
    [InlineData("http://127.0.0.1/x", "nonsense", "{}", 400)]
    [InlineData("http://127.0.0.1/x", "raw", """{"min_disk":-1}""", 400)]
    [InlineData("http://127.0.0.1/x", "raw", """{"status":"active"}""", 403)]
    [InlineData("http://127.0.0.1/x", "raw", """{"locations":[]}""", 403)]
    public async Task What_may_not_be_is_refused_and_makes_no_image(string url, string format, string image, int status)
    {
        using var refused = await CreateAsync(Import(url, format, image));
        Assert.Equal(status, (int)refused.StatusCode);
        var images = await App.Http.GetFromJsonAsync<JsonElement>("/v2/images", RegistryApp.Stop);
        Assert.Empty(images.GetProperty("images").EnumerateArray());
    }

    private static string Import(string url, string format, string image = "{}") => $$$"""
        {"type":"import","input":{"import_from":"{{{url}}}","import_from_format":"{{{format}}}","image_properties":{{{image}}}}}
        """;

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";

    private Task<HttpResponseMessage> CreateAsync(string body) => App.SendAsync(HttpMethod.Post, "/v2/tasks", body);

    private async Task<IReadOnlyList<string>> ListAsync(string query)
    {
        var listed = await App.Http.GetFromJsonAsync<JsonElement>($"/v2/tasks{query}", RegistryApp.Stop);
        return [.. listed.GetProperty("tasks").EnumerateArray().Select(task => Text(task, "id"))];
    }

    private async Task<JsonElement> EndedAsync(string id)
    {
        while (true)
        {
            var task = await App.Http.GetFromJsonAsync<JsonElement>($"/v2/tasks/{id}", RegistryApp.Stop);
            if (Text(task, "status") is "success" or "failure")
            {
                return task;
            }

            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
