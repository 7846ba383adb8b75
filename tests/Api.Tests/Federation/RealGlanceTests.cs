using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Registry.Api.Tests.Cli;
using Registry.Support;

namespace Registry.Api.Tests.Federation;

/// <summary>A registry and Debian's real Glance as two regions of Debian's real Keystone.</summary>
public sealed class RealGlanceTests : IAsyncLifetime
{
    private const string User = "demo1-member";
    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false });
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(3_000_000);
    private PostgresServer? _postgres;
    private KeystoneServer? _keystone;
    private GlanceServer? _glance;
    private RegistryApp? _app;
    private string _token = "";

    private string Other => _keystone!.ProjectIds["demo2"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        KeystoneServer.Require();
        GlanceServer.Require();
        _postgres = await PostgresServer.StartAsync();
        _keystone = await KeystoneServer.StartAsync(_postgres, Stop);
        _glance = await GlanceServer.MakeAsync(_postgres, new GlanceOptions { Keystone = _keystone }, Stop);
        await _glance.StartAsync(Stop);
        _app = new RegistryApp { Settings = { ["Registry:Import:Methods"] = "glance-direct,glance-download" } };
        foreach (var (name, value) in _keystone.RegistrySettings())
        {
            _app.Settings[name.Replace("__", ":", StringComparison.Ordinal)] = value;
        }

        await _app.InitializeAsync();
        await _keystone.AddRegionAsync("Stock", _glance.Url, Stop);
        await _keystone.AddRegionAsync("Ours", _app.Url, Stop);
        _token = await _keystone.TokenAsync(User, Stop);
        _http.DefaultRequestHeaders.Add("X-Auth-Token", _token);
        _http.DefaultRequestHeaders.Add("Accept", "application/json, application/octet-stream");
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        foreach (var part in new IAsyncDisposable?[] { _app, _glance, _keystone, _postgres })
        {
            if (part is not null)
            {
                await part.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task Images_go_from_one_to_the_other()
    {
        var id = await MakeAsync(_glance!.Url, "theirs");
        await DownloadAsync(id);
        await ReplicateAsync(_glance.Url, _app!.Url, id);
        var back = await MakeAsync(_app.Url, "ours");
        await ReplicateAsync(_app.Url, _glance.Url, back);
    }

    private async Task DownloadAsync(string id)
    {
        var copy = Text(await SendAsync(HttpMethod.Post, new Uri(_app!.Url, "v2/images"), """{"name":"copy"}"""), "id");
        await SendAsync(
            HttpMethod.Post, new Uri(_app.Url, $"v2/images/{copy}/import"),
            $$$"""{"method":{"name":"glance-download","glance_region":"stock","glance_image_id":"{{{id}}}"}}""");
        JsonElement image;
        do
        {
            await Task.Delay(50, Stop);
            image = await SendAsync(HttpMethod.Get, new Uri(_app.Url, $"v2/images/{copy}"));
            Assert.NotEqual("queued", Text(image, "status"));
        }
        while (Text(image, "status") != "active");

        Assert.Equal(Convert.ToHexStringLower(SHA512.HashData(_content)), Text(image, "os_hash_value"));
        Assert.Equal(
            ("raw", "bare", "virtio", "copy"),
            (Text(image, "disk_format"), Text(image, "container_format"), Text(image, "hw_disk_bus"), Text(image, "name")));
        Assert.False(image.TryGetProperty("note", out _));
    }

    private async Task ReplicateAsync(Uri from, Uri to, string id)
    {
        foreach (var outcome in new[] { "copied", "same" })
        {
            var result = await RegistryCommandLine.RunAsync(
                "replicate", "--from", from.ToString(), "--to", to.ToString(), "--token", _token, "--output=json", id);
            Assert.True(result.ExitCode == 0, result.Output + result.Error);
            var line = JsonDocument.Parse(result.Output).RootElement.GetProperty("images")[0];
            Assert.Equal(outcome, Text(line, "outcome"));
        }

        var image = await SendAsync(HttpMethod.Get, new Uri(to, $"v2/images/{id}"));
        Assert.Equal(("active", "virtio", "x"), (Text(image, "status"), Text(image, "hw_disk_bus"), Text(image, "note")));
        Assert.Equal(_content, await _http.GetByteArrayAsync(new Uri(to, $"v2/images/{id}/file"), Stop));
        var members = await SendAsync(HttpMethod.Get, new Uri(to, $"v2/images/{id}/members"));
        var member = Assert.Single(members.GetProperty("members").EnumerateArray());
        Assert.Equal((Other, "pending"), (Text(member, "member_id"), Text(member, "status")));
    }

    private async Task<string> MakeAsync(Uri service, string name)
    {
        var made = await SendAsync(
            HttpMethod.Post, new Uri(service, "v2/images"),
            $$"""
            {"name":"{{name}}","disk_format":"raw","container_format":"bare","hw_disk_bus":"virtio","note":"x","tags":["t","a"]}
            """);
        using var body = new ByteArrayContent(_content);
        body.Headers.ContentType = new("application/octet-stream");
        using var put = await _http.PutAsync(new Uri(service, $"v2/images/{Text(made, "id")}/file"), body, Stop);
        Assert.Equal(204, (int)put.StatusCode);
        await SendAsync(
            HttpMethod.Post, new Uri(service, $"v2/images/{Text(made, "id")}/members"), $$"""{"member":"{{Other}}"}""");
        return Text(made, "id");
    }

    private async Task<JsonElement> SendAsync(HttpMethod method, Uri url, string? body = null)
    {
        using var request = new HttpRequestMessage(method, url)
        {
            Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json"),
        };
        using var response = await _http.SendAsync(request, Stop);
        var text = await response.Content.ReadAsStringAsync(Stop);
        Assert.True(response.IsSuccessStatusCode, $"{(int)response.StatusCode}: {text}");
        return text.Length > 0 ? JsonDocument.Parse(text).RootElement : default;
    }

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";
}
