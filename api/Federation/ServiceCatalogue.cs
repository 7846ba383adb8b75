using System.Text.Json;

namespace Registry.Api.Federation;

/// <summary>Keystone's catalogue: which service is where.</summary>
internal static class ServiceCatalogue
{
    /// <summary>Finds the image service of a region. Regions are compared without regard to case, as Glance does.</summary>
    /// <param name="answer">The answer of <c>GET /v3/auth/catalog</c>.</param>
    /// <param name="region">The region.</param>
    /// <param name="which">public, internal or admin.</param>
    /// <returns>An http or https URL; null when there is none.</returns>
    /// <exception cref="JsonException">It is no catalogue.</exception>
    public static Uri? FindImages(JsonElement answer, string region, string which)
    {
        try
        {
            foreach (var endpoint in answer.GetProperty("catalog").EnumerateArray()
                .Where(service => service.GetProperty("type").GetString() == "image")
                .SelectMany(service => service.GetProperty("endpoints").EnumerateArray()))
            {
                var isThere = string.Equals(RegionOf(endpoint), region, StringComparison.OrdinalIgnoreCase)
                    && endpoint.GetProperty("interface").GetString() == which;
                if (isThere && Uri.TryCreate(endpoint.GetProperty("url").GetString(), UriKind.Absolute, out var url)
                    && url.Scheme is "http" or "https")
                {
                    return url;
                }
            }

            return null;
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException)
        {
            throw new JsonException("What Keystone answered is no catalogue.", e);
        }
    }

    private static string? RegionOf(JsonElement endpoint) =>
        endpoint.TryGetProperty("region_id", out var id) && id.ValueKind == JsonValueKind.String
            ? id.GetString()
            : endpoint.TryGetProperty("region", out var name) ? name.GetString() : null;
}
