using System.Collections.Concurrent;
using System.Text;
using Registry.Support;

namespace Registry.Api.Tests.Peers;

/// <summary>Sends requests as rows of tables write them, with nothing corrected on the way:
/// <c>http METHOD PATH 'Header: value'… @BODY</c>.</summary>
/// <param name="keystone">Makes the tokens.</param>
public sealed class PeerHttp(KeystoneServer keystone) : IDisposable
{
    private const int FirstError = 400;

    private static readonly string[] Compared = ["Allow", "Accept-Patch", "Content-Range", "Location"];
    private static readonly UriCreationOptions AsWritten = new() { DangerousDisablePathAndQueryCanonicalization = true };

    private readonly ConcurrentDictionary<string, Task<string>> _tokens = new();
    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false });

    /// <summary>Sends a request.</summary>
    /// <returns>The exit code 1 for an error; the body, unless it is an error's; the status, and the headers that are
    /// compared.</returns>
    public async Task<ToolResult> RunAsync(
        Peer peer, string user, IReadOnlyList<string> words, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(
            new HttpMethod(words[0]), new Uri(peer.Url.ToString().TrimEnd('/') + words[1], in AsWritten));
        foreach (var word in words.Skip(2).Where(word => word[0] == '@'))
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(word[1..]));
            request.Content.Headers.ContentType = new("application/json");
        }

        foreach (var (name, value) in words.Skip(2).Where(word => word[0] != '@').Select(word => word.Split(": ", 2))
            .Select(parts => (parts[0], parts[1])))
        {
            if (!request.Headers.TryAddWithoutValidation(name, value))
            {
                request.Content ??= new ByteArrayContent([]);
                request.Content.Headers.Remove(name);
                request.Content.Headers.TryAddWithoutValidation(name, value);
            }
        }

        if (user != "nobody")
        {
            var token = await _tokens.GetOrAdd(user, name => keystone.TokenAsync(name, cancellationToken));
            request.Headers.Add("X-Auth-Token", token);
        }

        using var response = await _http.SendAsync(request, cancellationToken);
        var isError = (int)response.StatusCode >= FirstError;
        var headers = response.Headers.Concat(response.Content.Headers)
            .Where(header => Compared.Contains(header.Key) || (isError && header.Key == "Content-Type"))
            .OrderBy(header => header.Key, StringComparer.Ordinal)
            .Select(header => $"\n{header.Key}: {string.Join(", ", header.Value).Split(';')[0]}");
        return new ToolResult(
            isError ? 1 : 0,
            isError ? "" : await response.Content.ReadAsStringAsync(cancellationToken),
            $"{(int)response.StatusCode}{string.Concat(headers)}");
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();
}
