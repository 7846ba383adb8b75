using System.Net.Http.Json;
using System.Text.Json;

namespace Registry.Api.Cli;

/// <summary>The server's own cache, by the Image API's cache routes.</summary>
internal sealed class CacheServer : IDisposable
{
    private readonly HttpClient _http;

    /// <summary>Prepares the calls.</summary>
    public CacheServer(Uri url, string? token)
    {
        _http = new HttpClient { BaseAddress = url };
        _http.DefaultRequestHeaders.Add("Accept", "application/json");
        if (!string.IsNullOrEmpty(token))
        {
            _http.DefaultRequestHeaders.Add("X-Auth-Token", token);
        }
    }

    /// <summary>Makes a call.</summary>
    /// <param name="method">GET, PUT, POST or DELETE.</param>
    /// <param name="path">Path after /v2/cache.</param>
    /// <param name="target">What to clear; null where nothing is.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The answer; undefined when it is empty.</returns>
    /// <exception cref="CommandException">The server refuses, or there is none.</exception>
    public async Task<JsonElement> CallAsync(
        HttpMethod method, string path, string? target, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, "/v2/cache" + path);
        if (target is not null)
        {
            request.Headers.Add("x-image-cache-clear-target", target);
        }

        using var response = await _http.SendAsync(request, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            throw new CommandException(await ReasonAsync(response, cancellationToken));
        }

        return response.Content.Headers.ContentLength is 0 || response.StatusCode == System.Net.HttpStatusCode.NoContent
            || response.Content.Headers.ContentType is null
                ? default
                : await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static async Task<string> ReasonAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        try
        {
            var error = await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
            return error.GetProperty("message").GetString()!;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return $"the server answered {(int)response.StatusCode}.";
        }
    }
}
