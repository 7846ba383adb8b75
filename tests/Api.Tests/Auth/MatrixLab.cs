using System.Text;
using Registry.Api.Images;
using Registry.Support;

namespace Registry.Api.Tests.Auth;

/// <summary>A registry whose callers an identity service vouches for, and images of every kind that a rule tells
/// apart.</summary>
internal sealed class MatrixLab : IAsyncDisposable
{
    /// <summary>Who calls, in the order of the table's columns.</summary>
    public static readonly string[] Callers =
        ["none", "expired", "other", "member", "reader", "owner", "admin", "service"];

    /// <summary>What is called upon, for what is about an image.</summary>
    public static readonly string[] Kinds =
        ["private", "shared", "community", "public", "hidden", "deactivated", "deleted"];

    /// <summary>The project that the images are shared with.</summary>
    public const string Member = "member-project";

    private const string Owner = "owner-project";

    private readonly ScriptedKeystone _keystone = new();
    private readonly TempDirectory _directory = new();

    /// <summary>Prepares a lab; <see cref="StartAsync"/> opens it.</summary>
    public MatrixLab()
    {
        var soon = DateTimeOffset.UtcNow.AddHours(1);
        _keystone.Add("expired", "u0", Owner, DateTimeOffset.UtcNow.AddHours(-1), "admin", "member", "reader");
        _keystone.Add("other", "u1", "other-project", soon, "member", "reader");
        _keystone.Add("member", "u2", Member, soon, "member", "reader");
        _keystone.Add("reader", "u3", Owner, soon, "reader");
        _keystone.Add("owner", "u4", Owner, soon, "member", "reader");
        _keystone.Add("admin", "u5", "admin-project", soon, "admin", "member", "reader");
        _keystone.Add("service", "u6", "service-project", soon, "service");
    }

    /// <summary>The registry.</summary>
    public RegistryApp App { get; private set; } = null!;

    /// <summary>A job of the owner's project that nobody works at.</summary>
    public string Job { get; private set; } = "";

    /// <summary>Starts the registry, with two stores and nobody who does jobs.</summary>
    public async Task StartAsync()
    {
        App = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "keystone",
                ["Registry:Auth:Keystone:Url"] = _keystone.Url,
                ["Registry:Auth:Keystone:Username"] = "registry",
                ["Registry:Auth:Keystone:Password"] = "secret",
                ["Registry:Stores:0:Id"] = "first",
                ["Registry:Stores:0:Kind"] = "directory",
                ["Registry:Stores:0:Path"] = Path.Combine(_directory.Path, "first"),
                ["Registry:Stores:0:Default"] = "true",
                ["Registry:Stores:1:Id"] = "second",
                ["Registry:Stores:1:Kind"] = "directory",
                ["Registry:Stores:1:Path"] = Path.Combine(_directory.Path, "second"),
                ["Registry:Stores:2:Id"] = "web",
                ["Registry:Stores:2:Kind"] = "http",
                ["Registry:Stores:2:Endpoint"] = "https://images.example/",
                ["Registry:Endpoints:Nbd"] = "nbd://127.0.0.1:0",
                ["Registry:Jobs:Workers"] = "0",
                ["Registry:Cache:Directory"] = Path.Combine(_directory.Path, "cache"),
                ["Registry:Cache:QueueDelay"] = "01:00:00",
                ["Registry:Limits:Members"] = "-1",
            },
        };
        await App.InitializeAsync();
        var imported = await MakeAsync("shared", withData: false);
        await DoAsync("owner", HttpMethod.Post, $"/v2/images/{imported}/import", MatrixRequests.Import);
        using var jobs = await SendAsync("owner", HttpMethod.Get, "/registry/v1/jobs?kind=import", null);
        Job = (await RegistryApp.JsonAsync(jobs)).GetProperty("jobs")[0].GetProperty("id").GetString()!;
    }

    /// <summary>Makes an image of the owner's project, shared with the member's where it is shared.</summary>
    /// <param name="kind">One of <see cref="Kinds"/>.</param>
    /// <param name="withData">Whether it has bytes.</param>
    public async Task<string> MakeAsync(string kind, bool withData)
    {
        var visibility = kind is "hidden" or "deactivated" or "deleted" ? "shared" : kind;
        var isHidden = kind == "hidden" ? "true" : "false";
        using var created = await SendAsync(
            "admin", HttpMethod.Post, "/v2/images",
            $$"""
            {"owner":"{{Owner}}","visibility":"{{visibility}}","os_hidden":{{isHidden}},"disk_format":"raw",
             "container_format":"bare","tags":["t"]}
            """);
        Assert.Equal(201, (int)created.StatusCode);
        var id = (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
        if (withData || kind == "deactivated")
        {
            await DoAsync("admin", HttpMethod.Put, $"/v2/images/{id}/file", new string('x', 512));
        }

        if (visibility == "shared")
        {
            await DoAsync("admin", HttpMethod.Post, $"/v2/images/{id}/members", $$"""{"member":"{{Member}}"}""");
        }

        if (kind == "deactivated")
        {
            await DoAsync("admin", HttpMethod.Post, $"/v2/images/{id}/actions/deactivate", null);
        }
        else if (kind == "deleted")
        {
            await DoAsync("admin", HttpMethod.Delete, $"/v2/images/{id}", null);
        }

        return id;
    }

    /// <summary>Makes an HTTP request as a caller.</summary>
    public async Task<HttpResponseMessage> SendAsync(string caller, HttpMethod method, string path, string? body)
    {
        using var request = new HttpRequestMessage(method, path);
        if (caller != "none")
        {
            request.Headers.Add("X-Auth-Token", caller);
        }

        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.ContentType = new(
                path.EndsWith("/file", StringComparison.Ordinal) || path.EndsWith("/stage", StringComparison.Ordinal)
                    ? "application/octet-stream"
                    : method == HttpMethod.Patch ? ImagePatch.MediaType21 : "application/json");
        }

        return await App.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        await _keystone.DisposeAsync();
        _directory.Dispose();
    }

    private async Task DoAsync(string caller, HttpMethod method, string path, string? body)
    {
        using var response = await SendAsync(caller, method, path, body);
        Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {(int)response.StatusCode}");
    }
}
