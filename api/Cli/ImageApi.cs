using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Registry.Api.Errors;
using Registry.Api.ImageData;

namespace Registry.Api.Cli;

/// <summary>The Image API (v2) of a server: a registry or Glance.</summary>
internal sealed class ImageApi : IDisposable
{
    private const int AnswerBytesMax = 64 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan BusyPauseMin = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan BusyPauseMax = TimeSpan.FromSeconds(8);

    private readonly HttpClient _http;
    private readonly Uri _root;

    /// <summary>Describes a server; nothing is asked yet.</summary>
    /// <param name="url">Its address, with or without /v2.</param>
    /// <param name="token">Identity token; null or empty for none.</param>
    /// <exception cref="CommandException">It is no address.</exception>
    public ImageApi(string url, string? token)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
        {
            throw new CommandException($"'{url}' is not a URL.");
        }

        var root = address.AbsoluteUri.TrimEnd('/');
        _root = new Uri(root.EndsWith("/v2", StringComparison.Ordinal) ? root[..^2] : root + "/");
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false })
        {
            Timeout = Timeout.InfiniteTimeSpan, // uploads take as long as they take; the rest has a patience of its own
            MaxResponseContentBufferSize = AnswerBytesMax,
        };
        _http.DefaultRequestHeaders.TryAddWithoutValidation("Accept", "application/json, application/octet-stream");
        if (!string.IsNullOrEmpty(token))
        {
            _http.DefaultRequestHeaders.TryAddWithoutValidation("X-Auth-Token", token);
        }
    }

    /// <summary>The server, for messages.</summary>
    public string Name => _root.GetLeftPart(UriPartial.Authority);

    /// <summary>Asks for JSON.</summary>
    /// <param name="path">From /v2 on.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Null when there is nothing of that path.</returns>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public async Task<JsonElement?> FindAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            return await SendAsync(HttpMethod.Get, path, content: null, cancellationToken);
        }
        catch (ImageApiException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    /// <summary>Asks for JSON that is there.</summary>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public async Task<JsonElement> GetAsync(string path, CancellationToken cancellationToken) =>
        await SendAsync(HttpMethod.Get, path, content: null, cancellationToken)
        ?? throw new CommandException($"{Name} answers {path} with nothing.");

    /// <summary>Finds an image by id or by name.</summary>
    /// <exception cref="CommandException">None, or more than one of that name.</exception>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public async Task<JsonElement> FindImageAsync(string idOrName, CancellationToken cancellationToken)
    {
        if (Guid.TryParseExact(idOrName, "D", out _))
        {
            var image = await FindAsync($"/v2/images/{idOrName}", cancellationToken) ?? throw Connection.NotOne(idOrName, 0);
            return RequireAsked(image, "id", idOrName);
        }

        var found = await GetAsync($"/v2/images?limit=2&name={Uri.EscapeDataString(idOrName)}", cancellationToken);
        var images = found.GetProperty("images");
        return images.GetArrayLength() == 1
            ? RequireAsked(images[0], "name", idOrName)
            : throw Connection.NotOne(idOrName, images.GetArrayLength());
    }

    // A bit that flips in a request can make it another image's.
    private static JsonElement RequireAsked(JsonElement image, string member, string value) =>
        image.TryGetProperty(member, out var found) && found.ValueKind == JsonValueKind.String
            && value.Equals(found.GetString(), StringComparison.OrdinalIgnoreCase)
            ? image
            : throw new DamagedMessageException();

    /// <summary>Finds an image by id or by name, and asks again where a registry, or its database, is busy: a crowd of hosts
    /// keeps it so for a moment.</summary>
    /// <returns>Its id, and the digest of its bytes; that is empty where it has none.</returns>
    /// <exception cref="CommandException">None, or more than one of that name; or nobody answers.</exception>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public async Task<(string Id, string Digest)> FindDigestAsync(string idOrName, CancellationToken cancellationToken)
    {
        for (var pause = BusyPauseMin; ; pause *= 2)
        {
            try
            {
                var found = await FindImageAsync(idOrName, cancellationToken);
                return (NamedServer.RequireId(found.GetProperty("id").GetString()),
                    NamedServer.RequireDigest(found.GetProperty("os_hash_value").GetString()));
            }
            catch (ImageApiException e) when (e.Status == HttpStatusCode.ServiceUnavailable && pause < BusyPauseMax)
            {
                await Task.Delay(pause, cancellationToken);
            }
            catch (HttpRequestException e)
            {
                throw new CommandException($"no registry answers at {Name}: {Connection.Why(e)}");
            }
            catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException)
            {
                throw new CommandException($"what answers at {Name} is no Image API.");
            }
        }
    }

    /// <summary>Walks through all pages of a list.</summary>
    /// <param name="path">Its first page.</param>
    /// <param name="member">What the answer calls its items.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public async IAsyncEnumerable<JsonElement> ListAsync(
        string path, string member, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (var next = path; next is not null;)
        {
            var page = await GetAsync(next, cancellationToken);
            foreach (var item in page.GetProperty(member).EnumerateArray())
            {
                yield return item;
            }

            next = page.TryGetProperty("next", out var link) ? link.GetString() : null;
            if (next is not null)
            {
                NamedServer.RequireSame(_root, At(next), "the next page", "Name that server instead.");
            }
        }
    }

    /// <summary>Sends a request.</summary>
    /// <param name="method">The method.</param>
    /// <param name="path">From /v2 on.</param>
    /// <param name="content">The body; null for none.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="header">One more header; null for none.</param>
    /// <returns>The answer's JSON; null where there is none.</returns>
    /// <exception cref="ImageApiException">It is refused.</exception>
    public async Task<JsonElement?> SendAsync(
        HttpMethod method, string path, HttpContent? content, CancellationToken cancellationToken,
        (string Name, string Value)? header = null)
    {
        using var request = new HttpRequestMessage(method, At(path)) { Content = content };
        if (header is { } more)
        {
            request.Headers.Add(more.Name, more.Value);
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        if (content is not StreamContent)
        {
            patience.CancelAfter(Patience);
        }

        try
        {
            using var response = await _http.SendAsync(request, patience.Token);
            var text = await response.Content.ReadAsStringAsync(patience.Token);
            if (!response.IsSuccessStatusCode)
            {
                var code = response.Headers.TryGetValues(ErrorBody.ReasonHeader, out var codes) ? codes.First() : "";
                throw new ImageApiException(response.StatusCode, $"{Name}: {Reason(response, text)}", code);
            }

            return text.Length > 0 && response.Content.Headers.ContentType?.MediaType == "application/json"
                ? JsonDocument.Parse(text).RootElement
                : null;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CommandException($"{Name} does not answer.");
        }
        catch (JsonException)
        {
            throw new CommandException($"what answers at {Name} is no Image API.");
        }
    }

    /// <summary>Sends JSON.</summary>
    /// <inheritdoc cref="SendAsync(HttpMethod, string, HttpContent?, CancellationToken)"/>
    public async Task<JsonElement?> SendJsonAsync(
        HttpMethod method,
        string path,
        string json,
        CancellationToken cancellationToken,
        string mediaType = "application/json")
    {
        using var content = new StringContent(json, Encoding.UTF8);
        content.Headers.ContentType = new MediaTypeHeaderValue(mediaType);
        return await SendAsync(method, path, content, cancellationToken);
    }

    /// <summary>Sends bytes.</summary>
    /// <inheritdoc cref="SendAsync(HttpMethod, string, HttpContent?, CancellationToken)"/>
    /// <param name="sha512">SHA-512 of the bytes in hexadecimal, which a registry requires them to have; null when it is not
    /// known.</param>
    public async Task SendBytesAsync(
        string path, Stream bytes, long? length, string? sha512, CancellationToken cancellationToken)
    {
        using var content = new StreamContent(bytes, 1 << 20);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        content.Headers.ContentLength = length;
        (string, string)? digest = sha512 is null ? null : (ReprDigest.Header, ReprDigest.Format(sha512));
        await SendAsync(HttpMethod.Put, path, content, cancellationToken, digest);
    }

    /// <summary>Asks for an image's bytes, or some of them.</summary>
    /// <returns>The answer, its body not read yet; whatever its status is.</returns>
    public async Task<HttpResponseMessage> OpenFileAsync(
        string imageId, RangeHeaderValue? range, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(_root, $"v2/images/{imageId}/file"));
        request.Headers.Range = range;
        return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private Uri At(string path) => new(_root, path.TrimStart('/'));

    /// <summary>The sentence in a refusal's JSON, in which Glance puts line breaks of HTML; null where there is none.</summary>
    internal static string? Sentence(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text);
            var message = document.RootElement.GetProperty("message").GetString()!
                .Replace("<br />", " ", StringComparison.Ordinal);
            return string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return null;
        }
    }

    private static string Reason(HttpResponseMessage response, string text)
    {
        var status = ((int)response.StatusCode).ToString(CultureInfo.InvariantCulture);
        return Sentence(text) is { } sentence
            ? $"{sentence} ({status})"
            : $"it answers {status} {response.ReasonPhrase}";
    }
}

/// <summary>A server of the Image API refuses; the message says which, and why.</summary>
internal sealed class ImageApiException(HttpStatusCode status, string message, string code = "") : Exception(message)
{
    /// <summary>The registry's word for the reason; empty where it sent none.</summary>
    public string Code { get; } = code;

    /// <summary>Its status.</summary>
    public HttpStatusCode Status { get; } = status;
}
