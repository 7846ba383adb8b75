using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Registry.Api.Tests.Import;

namespace Registry.Api.Tests.Locations;

/// <summary>Images that get their bytes from a location, in the new way and the old (spec/glance-v2.md, 4.1 and 4.2).
/// </summary>
public sealed class LocationTests : ImportLab
{
    private static readonly byte[] Content = Bytes(3_000_000, seed: 7);
    private readonly WebSource _web;

    public LocationTests()
        : this(new WebSource())
    {
    }

    private LocationTests(WebSource web)
        : base(
            ("Registry:Stores:2:Id", "web"),
            ("Registry:Stores:2:Kind", "http"),
            ("Registry:Stores:2:Endpoint", $"http://127.0.0.1:{web.Port}/files"),
            ("Registry:Locations:ShowMultiple", "true"),
            ("Registry:Locations:ShowDirectUrl", "true"),
            ("Registry:Outbound:ResumesMax", "1"))
    {
        _web = web;
        _web.Serve(Content);
    }

    private string Url => $"http://127.0.0.1:{_web.Port}/files/disk";

    private static readonly string[] Refused =
    [
        "file:///etc/passwd", "filesystem:///etc/passwd", "rbd://fsid/pool/image/snap", "cinder://volume", "nonsense",
        "s3://127.0.0.1/bucket/name", "http://127.0.0.1:PORT/other/disk", "http://127.0.0.1:PORT/filesystem",
        "http://127.0.0.1:PORT/files/../other", "http://127.0.0.1:PORT/files/%2e%2e/other", "http://127.0.0.1:PORT/files/",
        "http://user@127.0.0.1:PORT/files/disk", "http://localhost:PORT/files/disk", "http://127.0.0.1:PORT/files/disk?x",
        "https://127.0.0.1:PORT/files/disk", "http://127.0.0.1/files/disk", "//127.0.0.1:PORT/files/disk",
        @"http://127.0.0.1:PORT\files/disk", "http://127.1:PORT/other",
        "http://127.0.0.1:PORT/files/0d5bcd38-0b5c-4b8c-9d63-1b2e66e7c0aa/1/data",
        "http://127.0.0.1:PORT/files/x/0D5BCD38-0b5c-4b8c-9d63-1b2e66e7c0aa/1/data.0",
    ];

    [Fact]
    public async Task A_location_becomes_the_images_own_bytes()
    {
        var id = await App.CreateAsync();
        Assert.Equal("[]", (await App.ShowAsync(id)).GetProperty("locations").GetRawText());
        await AddAsync(id, Url, null);
        var task = await EndAsync(id);
        Assert.Equal("success", task.GetProperty("status").GetString());
        Assert.Equal("location_import", task.GetProperty("type").GetString());
        Assert.Equal(Url, task.GetProperty("input").GetProperty("loc_url").GetString());
        Assert.Equal("active", await StatusAsync(id));

        _web.Answer = (_, _) => throw new IOException("gone");
        Assert.Equal(Content, await ContentAsync(id));
        Assert.Equal("one", Stored(id));
        var image = await App.ShowAsync(id);
        Assert.Equal(Convert.ToHexStringLower(SHA512.HashData(Content)), image.GetProperty("os_hash_value").GetString());
        Assert.Equal(Url, image.GetProperty("direct_url").GetString());
        Assert.Equal("one", image.GetProperty("stores").GetString());
        Assert.False(image.TryGetProperty("os_glance_failed_import", out _));
        var told = await App.Http.GetStringAsync($"/v2/images/{id}/locations", RegistryApp.Stop);
        Assert.Equal($$$"""[{"url":"{{{Url}}}","metadata":{"store":"one"}}]""", told);
    }

    [Fact]
    public async Task Nothing_is_served_before_it_is_verified()
    {
        using var arrived = new SemaphoreSlim(0);
        using var goOn = new SemaphoreSlim(0);
        var serve = _web.Answer;
        _web.Answer = async (head, stream) =>
        {
            arrived.Release();
            await goOn.WaitAsync(RegistryApp.Stop);
            await serve(head, stream);
        };
        var id = await App.CreateAsync();
        await AddAsync(id, Url, null);
        await arrived.WaitAsync(RegistryApp.Stop);
        Assert.Equal("importing", await StatusAsync(id));
        using var early = await App.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file");
        Assert.Equal(204, (int)early.StatusCode);
        await AddAsync(id, Url, null, 409);
        goOn.Release();
        await SucceedAsync(id);
        Assert.Equal(Content, await ContentAsync(id));
    }

    [Fact]
    public async Task Bytes_are_compared_with_the_hash_that_is_given()
    {
        foreach (var algorithm in new[] { "md5", "sha1", "sha256", "sha512" })
        {
            await CompareAsync(algorithm);
        }
    }

    [Fact]
    public async Task A_malformed_location_is_refused()
    {
        var id = await App.CreateAsync();
        foreach (var body in new[]
        {
            """{"url":5}""",
            """{}""",
            """[]""",
            """{"url":"URL","metadata":{}}""",
            """{"url":"URL","validation_data":[]}""",
            """{"url":"URL","validation_data":{"os_hash_algo":"sha256"}}""",
            """{"url":"URL","validation_data":{"os_hash_value":"00"}}""",
            """{"url":"URL","validation_data":{"os_hash_algo":"sha256","os_hash_value":"00"}}""",
            """{"url":"URL","validation_data":{"os_hash_algo":"crc32","os_hash_value":"00000000"}}""",
            """{"url":"URL","validation_data":{"checksum":"00000000000000000000000000000000"}}""",
        })
        {
            await PostAsync(id, body.Replace("URL", Url, StringComparison.Ordinal), 400);
        }

        Assert.Equal("queued", await StatusAsync(id));
    }

    [Fact]
    public async Task Only_what_is_in_a_store_and_is_no_blob_can_be_named()
    {
        var id = await App.CreateAsync();
        foreach (var url in Refused.Select(url => url.Replace("PORT", $"{_web.Port}", StringComparison.Ordinal)))
        {
            await AddAsync(id, url, null, 400);
            Assert.Contains("Invalid location", await PatchAsync(id, Add(url), 400), StringComparison.Ordinal);
        }

        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal(0, _web.Connections);
    }

    [Fact]
    public async Task A_redirect_to_where_nobody_may_go_is_refused()
    {
        _web.Redirect(302, "http://169.254.169.254/latest");
        var id = await App.CreateAsync();
        await AddAsync(id, Url, null);
        Assert.Contains("not allowed", await FailAsync(id), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_what_it_was_declared_to_be_is_refused()
    {
        _web.Serve("QFI\xfb"u8.ToArray().Concat(new byte[600]).ToArray());
        var id = await App.CreateAsync("vmdk");
        await AddAsync(id, Url, null);
        await FailAsync(id);
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
        _web.Serve([]);
        await AddAsync(id, Url, null);
        Assert.Contains("empty", await FailAsync(id), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_a_queued_image_with_formats_gets_a_location()
    {
        var active = await App.UploadAsync([1, 2, 3]);
        await AddAsync(active, Url, null, 409);
        using var created = await App.SendAsync(HttpMethod.Post, "/v2/images", "{}");
        var formless = (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
        await AddAsync(formless, Url, null, 400);
        await PatchAsync(formless, Add(Url), 400);
        await AddAsync("0d5bcd38-0b5c-4b8c-9d63-1b2e66e7c0aa", Url, null, 404);
        await AddAsync(await App.CreateAsync(), Url + new string('x', 255), null, 400);
    }

    [Fact]
    public async Task A_patch_answers_when_the_bytes_are_verified()
    {
        var id = await App.CreateAsync();
        var answer = await PatchAsync(
            id,
            $$$"""
            [{"op":"replace","path":"/name","value":"n"},
             {"op":"add","path":"/locations/-","value":{"url":"{{{Url}}}","metadata":{"foo":"bar","store":"x"},
              "validation_data":{"checksum":"{{{HashOf("md5")}}}","os_hash_algo":"sha512","os_hash_value":"{{{HashOf("sha512")}}}"} } }]
            """);
        var image = JsonDocument.Parse(answer).RootElement;
        Assert.Equal("active", image.GetProperty("status").GetString());
        Assert.Equal("n", image.GetProperty("name").GetString());
        Assert.Equal(
            $$$"""[{"url":"{{{Url}}}","metadata":{"foo":"bar","store":"one"}}]""",
            image.GetProperty("locations").GetRawText());
        Assert.Equal(Content, await ContentAsync(id));
    }

    [Fact]
    public async Task A_patch_with_wrong_validation_data_is_refused()
    {
        var id = await App.CreateAsync();
        foreach (var (data, status) in new[]
        {
            ("""{"os_hash_algo":"sha512","os_hash_value":"zz"}""", 409),
            ("""{"os_hash_algo":"sha256","os_hash_value":"00"}""", 409),
            ("""{"checksum":"zz000000000000000000000000000000","os_hash_algo":"sha512","os_hash_value":"OTHER"}""", 409),
            ("""{"checksum":"00","os_hash_algo":"sha512","os_hash_value":"OTHER"}""", 400),
            ("""{"os_hash_algo":"sha512"}""", 400),
            ("""{"os_hash_algo":"sha512","os_hash_value":"OTHER"}""", 400),
        })
        {
            var body = data.Replace("OTHER", new string('0', 128), StringComparison.Ordinal);
            await PatchAsync(id, Add(Url, $$""","validation_data":{{body}}"""), status);
            Assert.Equal("queued", await StatusAsync(id));
        }
    }

    [Fact]
    public async Task Locations_of_an_active_image_are_noted_on_and_removed_but_for_the_last()
    {
        var id = await App.CreateAsync();
        await PatchAsync(id, Add(Url));
        await PatchAsync(id, Add(Url), 400);
        await PatchAsync(id, Add(Url + "2"), 409);
        await PatchAsync(id, """[{"op":"remove","path":"/locations/0"}]""", 403);
        await PatchAsync(id, """[{"op":"replace","path":"/locations","value":[]}]""", 403);
        await PatchAsync(id, Replace(Url + "2"), 400);
        Assert.Contains("\"a\":[1]", await PatchAsync(id, Replace(Url, """{"a":[1]}""")), StringComparison.Ordinal);

        await ImportAsync(id, """{"method":{"name":"copy-image"},"stores":["two"]}""");
        await SucceedAsync(id);
        Assert.Equal("one,two", Stored(id));
        var urls = (await App.ShowAsync(id)).GetProperty("locations").EnumerateArray()
            .Select(location => location.GetProperty("url").GetString()).ToArray();
        Assert.Equal(Url, urls[0]);
        Assert.StartsWith("file:///", urls[1], StringComparison.Ordinal);
        Assert.True(File.Exists(new Uri(urls[1]!).LocalPath));
        await PatchAsync(id, """[{"op":"remove","path":"/locations/2"}]""", 400);
        await PatchAsync(id, """[{"op":"remove","path":"/locations/0"}]""");
        Assert.Equal("two", Stored(id));
        Assert.Equal(Content, await ContentAsync(id));
    }

    [Fact]
    public async Task A_patch_wants_url_and_metadata()
    {
        var id = await App.CreateAsync();
        foreach (var form in new[]
        {
            """{"url":"URL"}""",
            """{"metadata":{}}""",
            """{"url":"URL","metadata":{},"more":1}""",
            "\"URL\"",
        })
        {
            var location = form.Replace("URL", Url, StringComparison.Ordinal);
            await PatchAsync(id, $$"""[{"op":"add","path":"/locations/-","value":{{location}}}]""", 400);
            await PatchAsync(id, $$"""[{"op":"replace","path":"/locations","value":[{{location}}]}]""", 400);
        }

        await PatchAsync(id, """[{"op":"remove","path":"/locations/0"}]""", 409);
        await PatchAsync(id, Add(Url).Replace("/-", "/7", StringComparison.Ordinal), 400);
    }

    [Fact]
    public async Task A_patch_waits_no_longer_than_it_is_told_to()
    {
        await using var registry = new RegistryApp
        {
            Settings =
            {
                ["Registry:Stores:0:Id"] = "one",
                ["Registry:Stores:0:Path"] = Files.File("other"),
                ["Registry:Stores:1:Id"] = "web",
                ["Registry:Stores:1:Kind"] = "http",
                ["Registry:Stores:1:Endpoint"] = $"http://127.0.0.1:{_web.Port}/files",
                ["Registry:Locations:ShowMultiple"] = "true",
                ["Registry:Locations:Patience"] = "00:00:00.2",
                ["Registry:Outbound:AllowedNetworks"] = "127.0.0.1/32",
                ["Registry:Outbound:AllowedPorts"] = "",
                ["Registry:Jobs:Workers"] = "0",
            },
        };
        await registry.InitializeAsync();
        var id = await registry.CreateAsync();
        using var response = await registry.PatchAsync(id, Add(Url));
        Assert.Equal(200, (int)response.StatusCode);
        Assert.Equal("importing", (await RegistryApp.JsonAsync(response)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Deleting_the_image_ends_it()
    {
        using var arrived = new SemaphoreSlim(0);
        _web.Answer = async (_, stream) =>
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"));
            await stream.WriteAsync(Content);
            arrived.Release();
            await Task.Delay(500, RegistryApp.Stop);
        };
        var id = await App.CreateAsync();
        await AddAsync(id, Url, null);
        await arrived.WaitAsync(RegistryApp.Stop);
        using var deleted = await App.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
        Assert.Equal(204, (int)deleted.StatusCode);
        while (Directory.EnumerateDirectories(Files.File("one"), $"{id}*", SearchOption.AllDirectories).Any())
        {
            await Task.Delay(50, RegistryApp.Stop);
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await _web.DisposeAsync();
    }

    private async Task CompareAsync(string algorithm)
    {
        var good = HashOf(algorithm);
        var bad = (good[0] == '0' ? "1" : "0") + good[1..];
        var id = await App.CreateAsync();
        await AddAsync(id, Url, $$"""{"os_hash_algo":"{{algorithm}}","os_hash_value":"{{bad}}"}""");
        Assert.Contains("os_hash_value", await FailAsync(id), StringComparison.Ordinal);
        var image = await App.ShowAsync(id);
        Assert.Equal("queued", image.GetProperty("status").GetString());
        Assert.Equal("[]", image.GetProperty("locations").GetRawText());
        Assert.Equal(JsonValueKind.Null, image.GetProperty("os_hash_value").ValueKind);
        Assert.Equal("", Stored(id));

        await AddAsync(
            id, Url, $$"""{"os_hash_algo":"{{algorithm}}","os_hash_value":"{{good.ToUpperInvariant()}}"}""");
        await SucceedAsync(id);
        Assert.Equal(Content, await ContentAsync(id));
        image = await App.ShowAsync(id);
        Assert.Equal(
            (algorithm, good, HashOf("md5")),
            (image.GetProperty("os_hash_algo").GetString(), image.GetProperty("os_hash_value").GetString(),
                image.GetProperty("checksum").GetString()));
    }

    private static string HashOf(string algorithm) =>
        Convert.ToHexStringLower(CryptographicOperations.HashData(new(algorithm.ToUpperInvariant()), Content));

    private static string Add(string url, string more = "") =>
        $$$"""[{"op":"add","path":"/locations/-","value":{"url":{{{JsonSerializer.Serialize(url)}}},"metadata":{}{{{more}}}}}]""";

    private static string Replace(string url, string metadata = "{}") =>
        $$$"""[{"op":"replace","path":"/locations","value":[{"url":"{{{url}}}","metadata":{{{metadata}}}}]}]""";

    private Task AddAsync(string id, string url, string? validation, int status = 202) => PostAsync(
        id,
        $$"""{"url":{{JsonSerializer.Serialize(url)}}{{(validation is null ? "" : $",\"validation_data\":{validation}")}}}""",
        status);

    private async Task PostAsync(string id, string body, int status)
    {
        using var response = await App.SendAsync(HttpMethod.Post, $"/v2/images/{id}/locations", body);
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(status == (int)response.StatusCode, $"{(int)response.StatusCode}: {text}");
    }

    private async Task<string> PatchAsync(string id, string patch, int status = 200)
    {
        using var response = await App.PatchAsync(id, patch);
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(status == (int)response.StatusCode, $"{(int)response.StatusCode}: {text}");
        return text;
    }
}
