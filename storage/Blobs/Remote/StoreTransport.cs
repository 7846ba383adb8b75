using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;

namespace Registry.Storage.Blobs.Remote;

/// <summary>The connections to one distant store.</summary>
/// <remarks>Redirects are not followed, proxies of the environment not used. An answer that is an error becomes a
/// <see cref="StoreStatusException"/>, whoever sent the request.</remarks>
internal sealed partial class StoreTransport : IDisposable
{
    private const int ConnectionsMax = 256;
    private const int ErrorBytesMax = 16 * 1024;
    private const int ControlBytesMax = 8 << 20;
    private static readonly TimeSpan _connectTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan _connectionLife = TimeSpan.FromMinutes(5); // a name may move to another address

    private readonly SocketsHttpHandler _sockets;

    /// <param name="authorities">Certificates to trust instead of the system's; null for the system's.</param>
    /// <param name="wrap">Makes what every request passes on its way out; null for nothing.</param>
    public StoreTransport(
        X509Certificate2Collection? authorities, Func<HttpMessageHandler, HttpMessageHandler>? wrap = null)
    {
        _sockets = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            ConnectTimeout = _connectTimeout,
            PooledConnectionLifetime = _connectionLife,
            MaxConnectionsPerServer = ConnectionsMax,
            ActivityHeadersPropagator = null, // what we trace is not the store's business
        };
        if (authorities is not null)
        {
            var policy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            policy.CustomTrustStore.AddRange(authorities);
            _sockets.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        }

        var sent = wrap?.Invoke(_sockets) ?? _sockets;
        Bytes = new HttpClient(new Judge(sent, bufferAnswers: false)) { Timeout = Timeout.InfiniteTimeSpan };
        Control = new HttpClient(new Judge(sent, bufferAnswers: true));
    }

    /// <summary>Sends and receives bytes; answers are streams.</summary>
    public HttpClient Bytes { get; }

    /// <summary>Sends small requests; answers are read whole, up to 8 MiB, before anybody sees them, so that who parses
    /// them never waits for the network.</summary>
    public HttpClient Control { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Bytes.Dispose();
        Control.Dispose();
        _sockets.Dispose();
    }

    private sealed class Judge(HttpMessageHandler inner, bool bufferAnswers) : DelegatingHandler(inner)
    {
        protected override async Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
            try
            {
                if (!response.IsSuccessStatusCode)
                {
                    var code = await ReadCodeAsync(response, cancellationToken).ConfigureAwait(false);
                    throw new StoreStatusException(response.StatusCode, code);
                }

                if (bufferAnswers)
                {
                    await response.Content.LoadIntoBufferAsync(ControlBytesMax, cancellationToken)
                        .ConfigureAwait(false);
                }

                return response;
            }
            catch
            {
                response.Dispose();
                throw;
            }
        }

        // The code is of the store's making and goes into logs and answers: letters and digits only, and few.
        private static async Task<string> ReadCodeAsync(
            HttpResponseMessage response, CancellationToken cancellationToken)
        {
            try
            {
                await response.Content.LoadIntoBufferAsync(ErrorBytesMax, cancellationToken).ConfigureAwait(false);
            }
            catch (HttpRequestException)
            {
                return ""; // too long, or cut off: the status says enough
            }

            var text = await response.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false);
            return ErrorCode().Match(text).Groups[1].Value;
        }
    }

    [GeneratedRegex("<Code>([A-Za-z0-9]{1,64})</Code>")]
    private static partial Regex ErrorCode();
}
