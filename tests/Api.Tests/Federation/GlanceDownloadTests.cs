using System.Text;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Registry.Api.Tests.Import;
using Registry.Support;

namespace Registry.Api.Tests.Federation;

/// <summary>Images that are taken over from the image service of another region.</summary>
public sealed class GlanceDownloadTests : IAsyncLifetime
{
    private const string Token = "canary-token-of-the-owner";

    private readonly ScriptedKeystone _keystone = new();
    private readonly OtherRegion _region = new();
    private readonly RegistryApp _app;

    public GlanceDownloadTests()
    {
        _keystone.Add(Token, "u1", "p1", DateTimeOffset.UtcNow.AddHours(1), "member", "reader");
        _keystone.Regions["north"] = _region.Url;
        _app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "keystone",
                ["Registry:Auth:Keystone:Url"] = _keystone.Url,
                ["Registry:Auth:Keystone:Username"] = "registry",
                ["Registry:Auth:Keystone:Password"] = "secret",
                ["Registry:Import:Methods"] = "web-download,glance-download",
                ["Registry:Jobs:Poll"] = "00:00:00.05",
            },
        };
    }

    private WebSource Source => _region.Source;

    public async ValueTask InitializeAsync()
    {
        await _app.InitializeAsync();
        _app.Http.DefaultRequestHeaders.Add("X-Auth-Token", Token);
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _region.DisposeAsync();
        await _keystone.DisposeAsync();
    }

    [Fact]
    public async Task What_another_region_has_is_taken_over_in_the_name_of_the_caller()
    {
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        var task = await EndAsync(id);
        Assert.True(Text(task, "status") == "success", task.ToString());
        var image = await _app.ShowAsync(id);
        Assert.Equal(
            ("active", "raw", "bare", "q35", "required", "debian"),
            (Text(image, "status"), Text(image, "disk_format"), Text(image, "container_format"),
                Text(image, "hw_machine_type"), Text(image, "trait:HW_CPU_X86_AVX2"), Text(image, "os_distro")));
        Assert.Equal(_region.Image["os_hash_value"], Text(image, "os_hash_value"));
        foreach (var left in new[] { "owner_specified.x", "os_glance_importing_to_stores_x", "architecture" })
        {
            Assert.False(image.TryGetProperty(left, out _), left);
        }

        Assert.Equal("mine", Text(image, "name"));
        Assert.Equal("p1", Text(image, "owner"));
        Assert.Equal(_region.Content, await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.All(Source.Requests, head => Assert.Equal(Token, WebSource.Header(head, "X-Auth-Token")));

        var method = task.GetProperty("input").GetProperty("import_req").GetProperty("method");
        Assert.Equal(
            ("glance-download", "north", OtherRegion.ImageId, "public"),
            (Text(method, "name"), Text(method, "glance_region"), Text(method, "glance_image_id"),
                Text(method, "glance_service_interface")));
        Assert.DoesNotContain(Token, task.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_token_is_sealed_while_the_job_waits_for_it_and_forgotten_when_it_ends()
    {
        var (asked, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        Source.Answer = async (head, stream) =>
        {
            if (head.Contains("/file ", StringComparison.Ordinal))
            {
                asked.TrySetResult();
                await go.Task.WaitAsync(RegistryApp.Stop);
            }

            await _region.AnswerAsync(head, stream);
        };
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        await asked.Task.WaitAsync(RegistryApp.Stop);
        Assert.NotEmpty(await SecretsAsync());
        Assert.False(IsInDatabase(Token));
        go.SetResult();
        Assert.Equal("success", Text(await EndAsync(id), "status"));
        Assert.Empty(await SecretsAsync());
        Assert.False(IsInDatabase(Token));
    }

    [Fact]
    public async Task A_download_that_breaks_off_is_taken_up_though_the_service_has_no_entity_tags()
    {
        Source.Answer = (head, stream) => _region.AnswerAsync(head, stream, breakAfter: 500_000);
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        Assert.Equal("success", Text(await EndAsync(id), "status"));
        Assert.Equal(_region.Content, await _app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
        Assert.Equal(
            ["bytes=500000-", "bytes=1000000-"],
            Source.Requests.Select(head => WebSource.Header(head, "Range")).OfType<string>());
    }

    [Fact]
    public async Task Bytes_with_another_hash_are_not_taken()
    {
        _region.Image["os_hash_value"] = new string('0', 128);
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        var task = await EndAsync(id);
        Assert.Equal("The bytes do not have the os_hash_value that was given.", Text(task, "message"));
        Assert.Equal("queued", Text(await _app.ShowAsync(id), "status"));
        Assert.Empty(await _app.StoredFilesAsync());
    }

    [Fact]
    public async Task Bytes_that_nothing_is_known_of_are_not_taken()
    {
        _region.Image["os_hash_algo"] = "blake2b";
        _region.Image["checksum"] = null;
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        Assert.Contains("no hash", Text(await EndAsync(id), "message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_that_expires_meanwhile_ends_the_import_with_a_reason()
    {
        Source.Answer = (head, stream) => head.Contains("/file ", StringComparison.Ordinal)
            ? OtherRegion.RefuseAsync(stream, 401)
            : _region.AnswerAsync(head, stream);
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        Assert.Contains("does not accept the token", Text(await EndAsync(id), "message"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_redirect_is_not_followed_for_the_token_would_go_along()
    {
        await using var elsewhere = new WebSource();
        Source.Redirect(302, elsewhere.Url);
        var id = await CreateAsync();
        await ImportAsync(id, Method("north"), 202);
        Assert.Contains("redirects", Text(await EndAsync(id), "message"), StringComparison.Ordinal);
        Assert.Equal(0, elsewhere.Connections);
    }

    [Theory]
    [InlineData(401, "token")]
    [InlineData(403, "may not be read")]
    [InlineData(404, "there is no image")]
    [InlineData(500, "it answers 500")]
    public async Task What_the_other_service_refuses_the_task_tells(int theirs, string why)
    {
        Source.Answer = (_, stream) => OtherRegion.RefuseAsync(stream, theirs);
        await FailAsync(Method("north"), why);
    }

    [Theory]
    [InlineData("nowhere", "", "no public image service of region 'nowhere'")]
    [InlineData("north", ",\"glance_service_interface\":\"odd\"", "no odd image service of region 'north'")]
    public async Task What_the_catalogue_does_not_have_the_task_tells(string region, string more, string why) =>
        await FailAsync(Method(region, more), why);

    [Fact]
    public async Task An_image_without_bytes_the_task_tells()
    {
        _region.Image["status"] = "queued";
        await FailAsync(Method("north"), "should be active instead of queued");
    }

    [Fact]
    public async Task What_makes_no_sense_is_refused()
    {
        var id = await CreateAsync();
        foreach (var method in new[]
        {
            $$"""{"name":"glance-download","glance_image_id":"{{OtherRegion.ImageId}}"}""",
            """{"name":"glance-download","glance_region":"north"}""",
            """{"name":"glance-download","glance_region":"north","glance_image_id":"../x"}""",
            Method(new string('n', 256)),
        })
        {
            await ImportAsync(id, method, 400);
        }

        _region.Image["disk_format"] = "nonsense";
        await ImportAsync(id, Method("north"), 400);
        Assert.Empty(await SecretsAsync());
    }

    [Fact]
    public void The_method_is_not_offered_unless_asked_for_and_wants_a_catalogue()
    {
        Assert.DoesNotContain("glance-download", new Api.Import.ImportSection().Methods, StringComparison.Ordinal);
        var options = new RegistryOptions { Import = new() { Methods = "glance-download" } };
        Assert.Throws<ConfigurationException>(options.Validate);
    }

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";

    private static string Method(string region, string more = "") =>
        $$"""{"name":"glance-download","glance_region":"{{region}}","glance_image_id":"{{OtherRegion.ImageId}}"{{more}}}""";

    private async Task<string> CreateAsync()
    {
        using var response = await _app.SendAsync(HttpMethod.Post, "/v2/images", """{"name":"mine"}""");
        return Text(await RegistryApp.JsonAsync(response), "id");
    }

    private async Task<string> ImportAsync(string id, string method, int status)
    {
        using var response = await _app.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/import", $$"""{"method":{{method}}}""");
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(status == (int)response.StatusCode, $"{(int)response.StatusCode}: {text}");
        return text;
    }

    private async Task FailAsync(string method, string why)
    {
        var id = await CreateAsync();
        await ImportAsync(id, method, 202);
        var task = await EndAsync(id);
        Assert.Equal("failure", Text(task, "status"));
        Assert.Contains(why, Text(task, "message"), StringComparison.Ordinal);
        Assert.Equal("queued", Text(await _app.ShowAsync(id), "status"));
        Assert.Empty(await SecretsAsync());
    }

    private Task<JsonElement> EndAsync(string id) => ImportTask.EndAsync(_app.Http, id);

    private async Task<IReadOnlyList<string>> SecretsAsync()
    {
        await using var connection = new SqliteConnection($"Data Source={Path.Combine(_app.Data, "registry.db")};Mode=ReadOnly");
        await connection.OpenAsync(RegistryApp.Stop);
        await using var command = connection.CreateCommand();
        command.CommandText = "select secret from jobs where secret is not null";
        await using var reader = await command.ExecuteReaderAsync(RegistryApp.Stop);
        var secrets = new List<string>();
        while (await reader.ReadAsync(RegistryApp.Stop))
        {
            secrets.Add(reader.GetString(0));
        }

        return secrets;
    }

    // With what is in its log, for it is not all in the file yet.
    private bool IsInDatabase(string text)
    {
        var files = Directory.GetFiles(_app.Data, "registry.db*");
        Assert.NotEmpty(files);
        return files.Any(path =>
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var bytes = new MemoryStream();
            file.CopyTo(bytes);
            return bytes.GetBuffer().AsSpan().IndexOf(Encoding.UTF8.GetBytes(text)) >= 0;
        });
    }
}
