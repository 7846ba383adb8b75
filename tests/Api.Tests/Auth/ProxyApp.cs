using System.Text;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Policy;
using Registry.Support;

namespace Registry.Api.Tests.Auth;

/// <summary>A registry that believes identity headers, with two stores, NBD and a policy.</summary>
internal sealed class ProxyApp : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly string _policy;

    private ProxyApp(string policy)
    {
        _policy = _directory.File("policy.yaml");
        File.WriteAllText(_policy, policy);
        App = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "proxy",
                ["Registry:Policy:File"] = _policy,
                ["Registry:Stores:0:Id"] = "fast",
                ["Registry:Stores:0:Path"] = _directory.File("fast"),
                ["Registry:Stores:1:Id"] = "cheap",
                ["Registry:Stores:1:Path"] = _directory.File("cheap"),
                ["Registry:Stores:2:Id"] = "web",
                ["Registry:Stores:2:Kind"] = "http",
                ["Registry:Stores:2:Endpoint"] = "https://images.example/",
                ["Registry:Endpoints:Nbd"] = "nbd://127.0.0.1:0",
                ["Registry:Locations:ShowMultiple"] = "true",
                ["Registry:Outbound:AllowedNetworks"] = "127.0.0.0/8",
                ["Registry:Jobs:Workers"] = "0",
                ["Registry:Limits:Members"] = "-1",
            },
        };
    }

    /// <summary>The registry.</summary>
    public RegistryApp App { get; }

    /// <summary>Starts one.</summary>
    /// <param name="policy">The text of its policy file.</param>
    public static async Task<ProxyApp> StartAsync(string policy)
    {
        var started = new ProxyApp(policy);
        await started.App.InitializeAsync();
        return started;
    }

    /// <summary>Makes a text the policy, and waits until it is in force.</summary>
    public async Task UsePolicyAsync(string text)
    {
        // A rule of its own shows when the file was read.
        var mark = $"mark-{Guid.NewGuid():N}";
        await File.WriteAllTextAsync(_policy, $"{text}\n{mark}: '@'\n", RegistryApp.Stop);
        var engine = App.Services.GetRequiredService<PolicyEngine>();
        while (!engine.Knows(mark))
        {
            await Task.Delay(20, RegistryApp.Stop);
        }
    }

    /// <summary>The text of a policy file in which one rule is that of everything, apart from who is an administrator.</summary>
    public static string Uniform(string rule) => string.Join('\n', PolicyDefaults.Rules.Keys
        .Where(name => name is not ("context_is_admin" or "service_api")).Select(name => $"\"{name}\": \"{rule}\""));

    /// <summary>The identity headers of a caller.</summary>
    public static Metadata Identity(string project, string roles = "member,reader", string user = "user") => new()
    {
        { "x-identity-status", "Confirmed" }, { "x-user-id", user }, { "x-project-id", project }, { "x-roles", roles },
    };

    /// <summary>Makes a request.</summary>
    public async Task<HttpResponseMessage> SendAsync(
        Metadata caller, string method, string path, string? body = null, string? mediaType = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        foreach (var header in caller)
        {
            request.Headers.TryAddWithoutValidation(header.Key, header.Value);
        }

        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.ContentType = new(
                mediaType ?? (method == "PATCH" ? Registry.Api.Images.ImagePatch.MediaType21
                : path.EndsWith("/file", StringComparison.Ordinal) || path.EndsWith("/stage", StringComparison.Ordinal)
                    ? "application/octet-stream" : "application/json"));
        }

        return await App.Http.SendAsync(request, RegistryApp.Stop);
    }

    /// <summary>Makes a request and returns the status.</summary>
    public async Task<int> StatusAsync(Metadata caller, string method, string path, string? body = null)
    {
        using var response = await SendAsync(caller, method, path, body);
        return (int)response.StatusCode;
    }

    /// <summary>Makes a request that must succeed and returns the answer's JSON as text.</summary>
    public async Task<string> DoAsync(Metadata caller, string method, string path, string? body = null)
    {
        using var response = await SendAsync(caller, method, path, body);
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {(int)response.StatusCode} {text}");
        return text;
    }

    /// <summary>Makes a request that must succeed and returns the id in the answer.</summary>
    public async Task<string> MakeAsync(Metadata caller, string method, string path, string? body = null)
    {
        using var json = System.Text.Json.JsonDocument.Parse(await DoAsync(caller, method, path, body));
        return json.RootElement.GetProperty("id").GetString()!;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        _directory.Dispose();
    }
}
