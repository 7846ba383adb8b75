using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Asks Keystone (API v3) who a token belongs to, as a service user.</summary>
internal sealed class KeystoneClient : IDisposable
{
    private static readonly string[] PasswordMethod = ["password"];
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RenewBefore = TimeSpan.FromMinutes(2);

    private readonly HttpClient _http;
    private readonly KeystoneSection _options;
    private readonly TimeProvider _clock;
    private readonly SemaphoreSlim _signingIn = new(1, 1);
    private volatile ServiceToken? _own;

    /// <summary>Makes a client.</summary>
    public KeystoneClient(IOptions<RegistryOptions> options, TimeProvider clock)
    {
        _options = options.Value.Auth.Keystone;
        _clock = clock;
        _http = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        })
        {
            BaseAddress = new Uri(_options.Url.TrimEnd('/').EndsWith("/v3", StringComparison.Ordinal)
                ? _options.Url.TrimEnd('/') + "/"
                : _options.Url.TrimEnd('/') + "/v3/"),
            Timeout = Timeout,
        };
    }

    /// <summary>Asks about a token.</summary>
    /// <returns>Null when Keystone does not know it, or it is expired or revoked.</returns>
    /// <exception cref="RegistryException">IdentityUnavailable: Keystone does not answer, or not to this
    /// service.</exception>
    public async Task<KeystoneToken?> ValidateAsync(string token, CancellationToken cancellationToken)
    {
        try
        {
            var own = await OwnTokenAsync(cancellationToken);
            var response = await AskAsync(own, token, cancellationToken);
            if (response.StatusCode == HttpStatusCode.Unauthorized)
            {
                // It is our own token that is not good any more: a new one, once.
                response.Dispose();
                Interlocked.CompareExchange(ref _own, null, own);
                response = await AskAsync(await OwnTokenAsync(cancellationToken), token, cancellationToken);
            }

            using (response)
            {
                if (response.StatusCode == HttpStatusCode.NotFound)
                {
                    return null;
                }

                if (!response.IsSuccessStatusCode)
                {
                    throw Unavailable($"it answers {(int)response.StatusCode}", null);
                }

                return KeystoneToken.Read(await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken));
            }
        }
        catch (Exception e) when (e is HttpRequestException or JsonException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw Unavailable(e.Message, e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _http.Dispose();
        _signingIn.Dispose();
    }

    private Task<HttpResponseMessage> AskAsync(
        ServiceToken own, string token, CancellationToken cancellationToken)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, "auth/tokens?nocatalog");
        request.Headers.TryAddWithoutValidation("X-Auth-Token", own.Id);
        request.Headers.TryAddWithoutValidation("X-Subject-Token", token);
        return _http.SendAsync(request, cancellationToken);
    }

    private async Task<ServiceToken> OwnTokenAsync(CancellationToken cancellationToken)
    {
        if (_own is { } ready && ready.ExpiresAt - RenewBefore > _clock.GetUtcNow())
        {
            return ready;
        }

        await _signingIn.WaitAsync(cancellationToken);
        try
        {
            if (_own is { } other && other.ExpiresAt - RenewBefore > _clock.GetUtcNow())
            {
                return other;
            }

            return _own = await SignInTwiceAsync(cancellationToken);
        }
        finally
        {
            _signingIn.Release();
        }
    }

    // A connection that was kept may have been closed by the other side meanwhile; a POST is not sent again by itself.
    private async Task<ServiceToken> SignInTwiceAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await SignInAsync(cancellationToken);
        }
        catch (HttpRequestException)
        {
            return await SignInAsync(cancellationToken);
        }
    }

    private async Task<ServiceToken> SignInAsync(CancellationToken cancellationToken)
    {
        using var content = JsonContent.Create(new
        {
            auth = new
            {
                identity = new
                {
                    methods = PasswordMethod,
                    password = new
                    {
                        user = new
                        {
                            name = _options.Username,
                            password = _options.ReadPassword(),
                            domain = new { name = _options.UserDomain },
                        },
                    },
                },
                scope = new
                {
                    project = new { name = _options.Project, domain = new { name = _options.ProjectDomain } },
                },
            },
        });

        // With its length: the server that Keystone usually runs in, uWSGI, reads no chunked bodies.
        await content.LoadIntoBufferAsync(cancellationToken);
        using var response = await _http.PostAsync("auth/tokens", content, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            throw Unavailable($"it refuses the service user ({(int)response.StatusCode})", null);
        }

        var token = KeystoneToken.Read(await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken));
        return new ServiceToken(response.Headers.GetValues("X-Subject-Token").Single(), token.ExpiresAt);
    }

    private static RegistryException Unavailable(string why, Exception? inner) => new(
        ErrorCode.IdentityUnavailable,
        "The identity service does not answer.",
        inner: inner ?? new IOException($"Keystone: {why}"));

    private sealed record ServiceToken(string Id, DateTimeOffset ExpiresAt);
}
