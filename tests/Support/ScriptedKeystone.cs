using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;

namespace Registry.Support;

/// <summary>The calls of the identity API that the registry makes, on a real socket, with faults that a real
/// Keystone would not produce on demand: revocation at once, refusals, silence. Its image service is <c>glance</c> in the
/// region <c>here</c>, and a second one in no region of its own has limits that are nobody's business.</summary>
public sealed class ScriptedKeystone : IAsyncDisposable
{
    private readonly HttpListener _listener = new();
    private readonly ConcurrentDictionary<string, object> _tokens = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string Project, string Resource), int> _limits = new();
    private readonly Task _serving;
    private long _questions;
    private long _limitQuestions;
    private int _own;

    /// <summary>Starts to serve.</summary>
    public ScriptedKeystone()
    {
        Url = $"http://127.0.0.1:{Ports.Free()}/identity";
        _listener.Prefixes.Add(Url + "/");
        _listener.Start();
        _serving = ServeAsync();
    }

    /// <summary>Its address.</summary>
    public string Url { get; }

    /// <summary>Questions about tokens so far.</summary>
    public long Questions => Interlocked.Read(ref _questions);

    /// <summary>Questions about limits of projects so far.</summary>
    public long LimitQuestions => Interlocked.Read(ref _limitQuestions);

    /// <summary>Whether the service user has a role on the system.</summary>
    public bool IsOnSystem { get; set; } = true;

    /// <summary>What every call is answered with instead; null for the truth.</summary>
    public int? FailWith { get; set; }

    /// <summary>Address of the image service of each region in the catalogue, the same for all interfaces.</summary>
    public ConcurrentDictionary<string, string> Regions { get; } = new(StringComparer.Ordinal);

    /// <summary>Makes a token known.</summary>
    public void Add(string token, string user, string? project, DateTimeOffset expiresAt, params string[] roles) =>
        _tokens[token] = new
        {
            token = new
            {
                expires_at = expiresAt,
                user = new { id = user },
                project = project is null ? null : new { id = project },
                roles = roles.Select(role => new { name = role }),
            },
        };

    /// <summary>Sets a limit: of a project, or the registered one of all.</summary>
    public void Limit(string resource, int value, string project = "") => _limits[(project, resource)] = value;

    /// <summary>Forgets a token.</summary>
    public void Revoke(string token) => _tokens.TryRemove(token, out _);

    /// <summary>Forgets every token of the registry itself.</summary>
    public void RevokeServiceTokens() => Interlocked.Increment(ref _own);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _listener.Close();
        await _serving.ConfigureAwait(false);
    }

    private async Task ServeAsync()
    {
        try
        {
            while (true)
            {
                _ = ServeAsync(await _listener.GetContextAsync().ConfigureAwait(false));
            }
        }
        catch (Exception closed) when (closed is HttpListenerException or InvalidOperationException)
        {
            return; // it was disposed
        }
    }

    private async Task ServeAsync(HttpListenerContext context)
    {
        try
        {
            await AnswerAsync(context).ConfigureAwait(false);
        }
        catch (Exception gone) when (
            gone is HttpListenerException or IOException or InvalidOperationException or JsonException)
        {
            return; // who asked was killed meanwhile: the next one is answered all the same
        }
    }

    private async Task AnswerAsync(HttpListenerContext context)
    {
        using var response = context.Response;
        if (FailWith is { } status)
        {
            response.StatusCode = status;
            return;
        }

        if (context.Request.HttpMethod == "POST")
        {
            if (context.Request.ContentLength64 < 0)
            {
                response.StatusCode = 400; // as uWSGI, which reads no chunked bodies
                return;
            }

            using var body = await JsonDocument.ParseAsync(context.Request.InputStream).ConfigureAwait(false);
            var user = body.RootElement.GetProperty("auth").GetProperty("identity").GetProperty("password")
                .GetProperty("user");
            if (user.GetProperty("password").GetString() != "secret")
            {
                response.StatusCode = 401;
                return;
            }

            var isOnSystem = body.RootElement.GetProperty("auth").GetProperty("scope").TryGetProperty("system", out _);
            if (isOnSystem && !IsOnSystem)
            {
                response.StatusCode = 401;
                return;
            }

            response.StatusCode = 201;
            response.Headers["X-Subject-Token"] = $"own-{_own}{(isOnSystem ? "-system" : "")}";
            await WriteAsync(response, new
            {
                token = new { expires_at = DateTimeOffset.UtcNow.AddHours(1), user = new { id = "registry" } },
            }).ConfigureAwait(false);
            return;
        }

        var path = context.Request.Url!.AbsolutePath;
        if (path.EndsWith("/auth/catalog", StringComparison.Ordinal))
        {
            await WriteCatalogueAsync(context).ConfigureAwait(false);
            return;
        }

        if (!path.EndsWith("/auth/tokens", StringComparison.Ordinal))
        {
            await TellAsync(context, path.Split('/')[^1]).ConfigureAwait(false);
            return;
        }

        if (context.Request.Headers["X-Auth-Token"] != $"own-{_own}")
        {
            response.StatusCode = 401;
            return;
        }

        Interlocked.Increment(ref _questions);
        if (_tokens.TryGetValue(context.Request.Headers["X-Subject-Token"] ?? "", out var token))
        {
            await WriteAsync(response, token).ConfigureAwait(false);
        }
        else
        {
            response.StatusCode = 404;
        }
    }

    private async Task TellAsync(HttpListenerContext context, string what)
    {
        if (context.Request.Headers["X-Auth-Token"] != $"own-{_own}-system")
        {
            context.Response.StatusCode = 401;
            return;
        }

        object? Limit((string Project, string Resource) key, int value) => key.Project.Length == 0
            ? new { service_id = "images", region_id = "here", resource_name = key.Resource, default_limit = value }
            : new
            {
                service_id = "images",
                region_id = "here",
                project_id = key.Project,
                resource_name = key.Resource,
                resource_limit = value,
            };

        if (what == "limits")
        {
            Interlocked.Increment(ref _limitQuestions);
        }

        // Everything, whatever was asked for: who asks must look what it got.
        object? answer = what switch
        {
            "services" => new { services = new[] { new { id = "images", name = "glance", type = "image" } } },
            "endpoints" => new { endpoints = new[] { new { service_id = "images", region_id = "here" } } },
            "one-endpoint" => new { endpoint = new { service_id = "images", region_id = "here" } },
            "registered_limits" => new
            {
                registered_limits = _limits.Where(l => l.Key.Project.Length == 0).Select(l => Limit(l.Key, l.Value))
                    .Append(new { service_id = "other", region_id = "here", resource_name = "image_count_total", default_limit = 0 }),
            },
            "limits" => new
            {
                limits = _limits.Where(l => l.Key.Project.Length > 0).Select(l => Limit(l.Key, l.Value)),
            },
            _ => null,
        };
        context.Response.StatusCode = answer is null ? 404 : 200;
        if (answer is not null)
        {
            await WriteAsync(context.Response, answer).ConfigureAwait(false);
        }
    }

    private async Task WriteCatalogueAsync(HttpListenerContext context)
    {
        if (!_tokens.ContainsKey(context.Request.Headers["X-Auth-Token"] ?? ""))
        {
            context.Response.StatusCode = 401;
            return;
        }

        string[] interfaces = ["public", "internal", "admin"];
        var endpoints = Regions.SelectMany(region => interfaces.Select(name => new Dictionary<string, string>
        {
            ["interface"] = name,
            ["region"] = region.Key,
            ["region_id"] = region.Key,
            ["url"] = region.Value,
        }));
        await WriteAsync(context.Response, new
        {
            catalog = new object[]
            {
                new { type = "compute", name = "nova", endpoints = Array.Empty<object>() },
                new { type = "image", name = "glance", endpoints },
            },
        }).ConfigureAwait(false);
    }

    private static Task WriteAsync(HttpListenerResponse response, object body)
    {
        response.ContentType = "application/json";
        return JsonSerializer.SerializeAsync(response.OutputStream, body);
    }
}
