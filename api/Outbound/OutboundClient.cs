using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.Outbound;

/// <summary>Fetches what users name, and nothing that they should not reach.</summary>
/// <remarks>The address is judged where the connection is made, so a name cannot mean one thing when it is checked and
/// another when it is used. Redirects are judged like the first address. No proxy, cookies or credentials of the
/// environment are used, and nothing is decompressed.</remarks>
public sealed class OutboundClient : IDisposable
{
    private static readonly TimeSpan ConnectionKept = TimeSpan.FromSeconds(30);

    private readonly OutboundSection _options;
    private readonly AddressPolicy _addresses;
    private readonly HttpMessageInvoker _http;
    private readonly HttpMessageInvoker _trusted;

    /// <summary>Makes the client.</summary>
    public OutboundClient(IOptions<RegistryOptions> options)
    {
        _options = options.Value.Outbound;
        _addresses = new AddressPolicy(_options.Networks());
        Urls = new UrlPolicy(_options, _addresses);
        _http = new HttpMessageInvoker(Handler(ConnectAsync));
        _trusted = new HttpMessageInvoker(Handler(connect: null)); // apart, for connections are kept and used again
    }

    /// <summary>Which URLs it fetches.</summary>
    public UrlPolicy Urls { get; }

    /// <summary>Asks for what a URL names, following redirects.</summary>
    /// <param name="url">From <see cref="UrlPolicy.Read"/>.</param>
    /// <param name="range">The part wanted; null for all.</param>
    /// <param name="condition">What the whole must still be for a part to make sense.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The answer, its body not read yet; never a redirect.</returns>
    /// <exception cref="RegistryException">BadRequest: the address, or one that it redirects to, is not allowed.</exception>
    /// <exception cref="HttpRequestException">It cannot be reached.</exception>
    /// <exception cref="TimeoutException">It does not answer in time.</exception>
    public async Task<HttpResponseMessage> GetAsync(
        Uri url, RangeHeaderValue? range, RangeConditionHeaderValue? condition, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_options.Patience);
        try
        {
            for (var redirects = 0; ; redirects++)
            {
                using var request = Request(url, range, condition);
                var response = await _http.SendAsync(request, patience.Token);
                if (!IsRedirect(response.StatusCode))
                {
                    return response;
                }

                using (response)
                {
                    url = redirects < _options.RedirectsMax
                        ? Urls.Follow(url, response.Headers.Location)
                        : throw new RegistryException(
                            ErrorCode.BadRequest, $"The download is redirected more than {redirects} times.",
                            "too_many_redirects");
                }
            }
        }
        catch (HttpRequestException e) when (e.InnerException is RegistryException refusal)
        {
            throw refusal;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException("No answer in time.");
        }
    }

    /// <summary>Asks a service that the operator names, wherever it is, with a token. Redirects are answers like others:
    /// whoever follows them would give the token away.</summary>
    /// <param name="url">What to ask for.</param>
    /// <param name="token">For the header X-Auth-Token.</param>
    /// <param name="range">The part wanted; null for all.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The answer, its body not read yet.</returns>
    /// <exception cref="HttpRequestException">It cannot be reached.</exception>
    /// <exception cref="TimeoutException">It does not answer in time.</exception>
    public async Task<HttpResponseMessage> GetTrustedAsync(
        Uri url, string token, RangeHeaderValue? range, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_options.Patience);
        try
        {
            using var request = Request(url, range, condition: null);
            request.Headers.TryAddWithoutValidation("X-Auth-Token", token);
            request.Headers.TryAddWithoutValidation("Accept", "application/json, application/octet-stream");
            return await _trusted.SendAsync(request, patience.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException("No answer in time.");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _http.Dispose();
        _trusted.Dispose();
    }

    private SocketsHttpHandler Handler(Func<SocketsHttpConnectionContext, CancellationToken, ValueTask<Stream>>? connect) =>
        new()
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null,
            ConnectTimeout = _options.Patience,
            PooledConnectionIdleTimeout = ConnectionKept,
            MaxResponseHeadersLength = 16,
            ConnectCallback = connect,
        };

    private static HttpRequestMessage Request(
        Uri url, RangeHeaderValue? range, RangeConditionHeaderValue? condition)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, url);
        request.Headers.Range = range;
        request.Headers.IfRange = condition;
        request.Headers.TryAddWithoutValidation("User-Agent", "registry");
        request.Headers.TryAddWithoutValidation("Accept-Encoding", "identity");
        return request;
    }

    private static bool IsRedirect(HttpStatusCode status) => status is HttpStatusCode.MovedPermanently
        or HttpStatusCode.Found or HttpStatusCode.SeeOther or HttpStatusCode.TemporaryRedirect
        or HttpStatusCode.PermanentRedirect or HttpStatusCode.MultipleChoices;

    // Only the addresses that were judged are connected to: the name is not resolved again.
    private async ValueTask<Stream> ConnectAsync(
        SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var (host, port) = (context.DnsEndPoint.Host, context.DnsEndPoint.Port);
        var found = IPAddress.TryParse(host, out var literal)
            ? new[] { literal }
            : await ResolveAsync(host, cancellationToken);
        var allowed = found.Where(_addresses.Allows).ToArray();
        if (allowed.Length == 0)
        {
            throw UrlPolicy.Refusal;
        }

        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(allowed, port, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    // None for a name that cannot be resolved: it is refused at once, as one of an internal network is, so that neither the
    // words nor the time of the answer tell which names there are.
    private static async Task<IPAddress[]> ResolveAsync(string host, CancellationToken cancellationToken)
    {
        try
        {
            return await Dns.GetHostAddressesAsync(host, cancellationToken);
        }
        catch (SocketException)
        {
            return [];
        }
    }
}
