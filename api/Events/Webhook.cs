using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.Events;

/// <summary>Posts events to the operator's address, as CloudEvents 1.0 in structured mode. Follows no redirect: nobody but
/// the operator says where events go.</summary>
internal sealed class Webhook : IDisposable
{
    /// <summary>Header of the signature: <c>sha256=</c> and the HMAC of the body, hex.</summary>
    public const string SignatureHeader = "X-Registry-Signature-256";

    private const string MediaType = "application/cloudevents+json";

    private readonly EventsSection _options;
    private readonly byte[] _secret;
    private readonly HttpClient _http;

    /// <summary>Reads the secret; sends nothing yet.</summary>
    /// <exception cref="ConfigurationException">The secret's file cannot be read.</exception>
    public Webhook(IOptions<RegistryOptions> options)
    {
        _options = options.Value.Events;
        _secret = Encoding.UTF8.GetBytes(_options.SecretFile.Length > 0 ? Read(_options.SecretFile) : _options.Secret);
        _http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5), // the name may come to mean another address
            MaxResponseHeadersLength = 16,
        })
        {
            Timeout = _options.Timeout,
        };
    }

    /// <summary>Posts an event.</summary>
    /// <returns>Null when the receiver took it; else why it did not.</returns>
    public async Task<string?> PostAsync(OutboxEvent happened, CancellationToken cancellationToken)
    {
        var body = Write(happened);
        using var request = new HttpRequestMessage(HttpMethod.Post, _options.Webhook)
        {
            Content = new ByteArrayContent(body)
            {
                Headers = { ContentType = new MediaTypeHeaderValue(MediaType) { CharSet = "utf-8" } },
            },
        };
        request.Headers.TryAddWithoutValidation("User-Agent", "registry");
        if (_secret.Length > 0)
        {
            request.Headers.Add(
                SignatureHeader, "sha256=" + Convert.ToHexStringLower(HMACSHA256.HashData(_secret, body)));
        }

        try
        {
            using var response = await _http.SendAsync(
                request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return response.IsSuccessStatusCode ? null : $"it answers {(int)response.StatusCode}";
        }
        catch (HttpRequestException e)
        {
            return $"it cannot be reached: {e.HttpRequestError}";
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return $"it does not answer within {_options.Timeout}";
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private byte[] Write(OutboxEvent happened)
    {
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("specversion"u8, "1.0"u8);
            json.WriteString("id"u8, happened.Id);
            json.WriteString("source"u8, _options.Source);
            json.WriteString("type"u8, happened.Type);
            json.WriteString("subject"u8, happened.Subject);
            json.WriteString("time"u8, happened.CreatedAt.UtcDateTime.ToString(
                "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture));
            json.WriteString("datacontenttype"u8, "application/json"u8);
            json.WritePropertyName("data"u8);
            json.WriteRawValue(happened.Data);
            json.WriteEndObject();
        }

        return bytes.WrittenSpan.ToArray();
    }

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim() is { Length: > 0 } secret
                ? secret
                : throw new ConfigurationException($"Registry:Events:SecretFile '{path}' is empty.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"Registry:Events:SecretFile '{path}' cannot be read: {e.Message}");
        }
    }
}
