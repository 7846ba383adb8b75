using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Asks Keystone (API v3) who a token belongs to, and what else it knows, as a service user.</summary>
internal sealed class KeystoneClient : IDisposable
{
    private static readonly string[] PasswordMethod = ["password"];
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RenewBefore = TimeSpan.FromMinutes(2);

    /// <summary>How long a new token counts at least, also where this machine's clock says that it has ended.</summary>
    private static readonly TimeSpan LifeLeast = TimeSpan.FromMinutes(1);

    private readonly HttpClient _http;
    private readonly KeystoneSection _options;
    private readonly TimeProvider _clock;
    private readonly OwnToken _inProject;
    private readonly OwnToken _onSystem;

    /// <summary>Makes a client.</summary>
    public KeystoneClient(IOptions<RegistryOptions> options, TimeProvider clock)
    {
        _options = options.Value.Auth.Keystone;
        _clock = clock;
        _inProject = new OwnToken(stop => SignInAsync(
            new { project = new { name = _options.Project, domain = new { name = _options.ProjectDomain } } }, stop));
        _onSystem = new OwnToken(stop => SignInAsync(new { system = new { all = true } }, stop));
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
            return await AskAsync(_inProject, "auth/tokens?nocatalog", token, cancellationToken) is { } answer
                ? KeystoneToken.Read(answer)
                : null;
        }
        catch (Exception e) when (e is HttpRequestException or JsonException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw Unavailable(e.Message, e);
        }
    }

    /// <summary>Reads something, with the service user's role on the system.</summary>
    /// <param name="path">What, below /v3/.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">IdentityUnavailable: Keystone does not answer, or not to this
    /// service.</exception>
    public async Task<JsonElement> ReadAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            return await AskAsync(_onSystem, path, subject: null, cancellationToken)
                ?? throw Unavailable($"it has no {path}", null);
        }
        catch (Exception e) when (e is HttpRequestException or JsonException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw Unavailable(e.Message, e);
        }
    }

    /// <summary>Asks where the services are, in the name of whoever has a token.</summary>
    /// <returns>The answer of <c>GET /v3/auth/catalog</c>.</returns>
    /// <exception cref="RegistryException">BadRequest: the token has no catalogue. IdentityUnavailable: Keystone does not
    /// answer.</exception>
    public async Task<JsonElement> CatalogueAsync(string token, CancellationToken cancellationToken)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "auth/catalog");
            request.Headers.TryAddWithoutValidation("X-Auth-Token", token);
            using var response = await _http.SendAsync(request, cancellationToken);
            if (response.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden)
            {
                throw new RegistryException(ErrorCode.BadRequest, "The token has no catalogue of services.", "no_catalogue");
            }

            return response.IsSuccessStatusCode
                ? await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken)
                : throw Unavailable($"it answers {(int)response.StatusCode}", null);
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
        _inProject.Dispose();
        _onSystem.Dispose();
    }

    /// <summary>The refusal of whoever needs Keystone.</summary>
    /// <param name="why">What is wrong with it, for the log.</param>
    /// <param name="inner">What lies behind.</param>
    internal static RegistryException Unavailable(string why, Exception? inner) => new(
        ErrorCode.IdentityUnavailable,
        "The identity service does not answer.",
        inner: inner ?? new IOException($"Keystone: {why}"));

    // Null for what is not there.
    private async Task<JsonElement?> AskAsync(
        OwnToken own, string path, string? subject, CancellationToken cancellationToken)
    {
        var token = await own.FindAsync(_clock, cancellationToken);
        var response = await SendAsync(token, path, subject, cancellationToken);
        if (response.StatusCode == HttpStatusCode.Unauthorized)
        {
            // It is our own token that is not good any more: a new one, once.
            response.Dispose();
            own.Forget(token);
            response = await SendAsync(await own.FindAsync(_clock, cancellationToken), path, subject, cancellationToken);
        }

        using (response)
        {
            if (response.StatusCode == HttpStatusCode.NotFound)
            {
                return null;
            }

            return response.IsSuccessStatusCode
                ? await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken)
                : throw Unavailable($"it answers {(int)response.StatusCode}", null);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(
        ServiceToken own, string path, string? subject, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.TryAddWithoutValidation("X-Auth-Token", own.Id);
        if (subject is not null)
        {
            request.Headers.TryAddWithoutValidation("X-Subject-Token", subject);
        }

        return await _http.SendAsync(request, cancellationToken);
    }

    // A connection that was kept may have been closed by the other side meanwhile; a POST is not sent again by itself.
    private async Task<ServiceToken> SignInAsync(object scope, CancellationToken cancellationToken)
    {
        try
        {
            return await SignInOnceAsync(scope, cancellationToken);
        }
        catch (HttpRequestException)
        {
            return await SignInOnceAsync(scope, cancellationToken);
        }
    }

    private async Task<ServiceToken> SignInOnceAsync(object scope, CancellationToken cancellationToken)
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
                scope,
            },
        });

        // With its length: the server that Keystone usually runs in, uWSGI, reads no chunked bodies.
        await content.LoadIntoBufferAsync(cancellationToken);
        using var response = await _http.PostAsync("auth/tokens", content, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            throw Unavailable(
                $"it refuses the service user ({(int)response.StatusCode}) the scope {JsonSerializer.Serialize(scope)}", null);
        }

        var token = KeystoneToken.Read(await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken));
        var life = token.ExpiresAt - RenewBefore - _clock.GetUtcNow();
        return new ServiceToken(
            response.Headers.GetValues("X-Subject-Token").Single(), _clock.GetTimestamp(),
            life > LifeLeast ? life : LifeLeast);
    }

    // Counted by the monotonic clock: a token that Keystone ends sooner is answered with 401 and replaced.
    private sealed record ServiceToken(string Id, long Since, TimeSpan Life)
    {
        public bool IsGood(TimeProvider clock) => clock.GetElapsedTime(Since) < Life;
    }

    /// <summary>The service user's token for one scope, renewed in time; one asks, the others wait.</summary>
    private sealed class OwnToken(Func<CancellationToken, Task<ServiceToken>> signIn) : IDisposable
    {
        private readonly SemaphoreSlim _signingIn = new(1, 1);
        private volatile ServiceToken? _token;

        public async Task<ServiceToken> FindAsync(TimeProvider clock, CancellationToken cancellationToken)
        {
            if (_token is { } ready && ready.IsGood(clock))
            {
                return ready;
            }

            await _signingIn.WaitAsync(cancellationToken);
            try
            {
                return _token is { } other && other.IsGood(clock)
                    ? other
                    : _token = await signIn(cancellationToken);
            }
            finally
            {
                _signingIn.Release();
            }
        }

        public void Forget(ServiceToken token) => Interlocked.CompareExchange(ref _token, null, token);

        public void Dispose() => _signingIn.Dispose();
    }
}
