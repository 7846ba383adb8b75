using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Registry.Storage.Blobs.S3;

/// <summary>Signature version 4 of requests that are signed already, as of another time.</summary>
/// <param name="secretKey">The secret key of the credential that the requests name.</param>
internal sealed class S3Signature(string secretKey)
{
    private const string Algorithm = "AWS4-HMAC-SHA256";
    private const string AuthorizationName = "Authorization";
    private const string DateName = "X-Amz-Date";
    private const string CredentialName = "X-Amz-Credential";
    private const string SignedHeadersName = "X-Amz-SignedHeaders";
    private const string SignatureName = "X-Amz-Signature";
    private const string TimeFormat = "yyyyMMdd'T'HHmmss'Z'";

    /// <summary>When a request says that it was signed, UTC; null for one that is not signed.</summary>
    public static DateTimeOffset? TimeOf(HttpRequestMessage request) =>
        DateTimeOffset.TryParseExact(
            Query(request.RequestUri!).GetValueOrDefault(DateName) ?? Header(request, DateName), TimeFormat,
            CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? time
            : null;

    /// <summary>Signs a signed request again, as of a time: its address where the signature is there, else its
    /// header.</summary>
    public void SignAgain(HttpRequestMessage request, DateTimeOffset time)
    {
        var query = Query(request.RequestUri!);
        var stamp = time.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture);
        if (query.Remove(SignatureName))
        {
            var scope = Scope(Uri.UnescapeDataString(query[CredentialName]), stamp, out var credential);
            query[DateName] = stamp;
            query[CredentialName] = Uri.EscapeDataString(credential);
            var headers = Uri.UnescapeDataString(query[SignedHeadersName]);
            var signature = Sign(request, query, headers, stamp, scope);
            var signed = Canonical(query) + $"&{SignatureName}={signature}";
            request.RequestUri = new UriBuilder(request.RequestUri!) { Query = signed }.Uri;
        }
        else if (request.Headers.NonValidated.TryGetValues(AuthorizationName, out var given)
            && given.ToString() is var text && text.StartsWith(Algorithm, StringComparison.Ordinal))
        {
            // As text: the runtime's own parser takes no parameters of this kind.
            var parts = text[Algorithm.Length..].Split(',', StringSplitOptions.TrimEntries)
                .Select(part => part.Split('=', 2)).ToDictionary(part => part[0], part => part[1]);
            var scope = Scope(parts["Credential"], stamp, out var credential);
            request.Headers.Remove(DateName);
            request.Headers.TryAddWithoutValidation(DateName, stamp);
            var signature = Sign(request, query, parts["SignedHeaders"], stamp, scope);
            request.Headers.Remove(AuthorizationName);
            request.Headers.TryAddWithoutValidation(
                AuthorizationName,
                $"{Algorithm} Credential={credential}, SignedHeaders={parts["SignedHeaders"]}, Signature={signature}");
        }
    }

    // The credential is KEY/DAY/REGION/s3/aws4_request; the scope is what follows the key.
    private static string Scope(string old, string stamp, out string credential)
    {
        var parts = old.Split('/');
        parts[^4] = stamp[..8];
        credential = string.Join('/', parts);
        return string.Join('/', parts[^4..]);
    }

    private string Sign(
        HttpRequestMessage request, SortedDictionary<string, string> query, string headers, string stamp, string scope)
    {
        var lines = headers.Split(';').Select(name => $"{name}:{Header(request, name)}\n");
        var payload = Header(request, "x-amz-content-sha256") is { Length: > 0 } hash ? hash : "UNSIGNED-PAYLOAD";
        var canonical = string.Join(
            '\n', request.Method.Method, request.RequestUri!.AbsolutePath, Canonical(query), string.Concat(lines), headers,
            payload);
        var text = string.Join('\n', Algorithm, stamp, scope, Hex(SHA256.HashData(Encoding.UTF8.GetBytes(canonical))));
        var key = Encoding.UTF8.GetBytes("AWS4" + secretKey);
        foreach (var part in scope.Split('/'))
        {
            key = HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(part));
        }

        return Hex(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(text)));
    }

    private static string Header(HttpRequestMessage request, string name)
    {
        if (name.Equals("host", StringComparison.OrdinalIgnoreCase))
        {
            return request.Headers.Host ?? request.RequestUri!.Authority;
        }

        return request.Headers.TryGetValues(name, out var values)
            || (request.Content?.Headers.TryGetValues(name, out values) ?? false)
                ? string.Join(',', values!.Select(value => value.Trim()))
                : "";
    }

    // As it was sent: names and values stay escaped, in the order of the names.
    private static SortedDictionary<string, string> Query(Uri address) => new(
        address.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries)
            .Select(pair => pair.Split('=', 2))
            .ToDictionary(pair => pair[0], pair => pair.Length > 1 ? pair[1] : ""),
        StringComparer.Ordinal);

    private static string Canonical(SortedDictionary<string, string> query) =>
        string.Join('&', query.Select(pair => $"{pair.Key}={pair.Value}"));

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);
}
