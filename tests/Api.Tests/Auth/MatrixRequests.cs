namespace Registry.Api.Tests.Auth;

/// <summary>How every HTTP route is called: the body that it wants, and whether the image must be without bytes.</summary>
/// <remarks>A route that is not here is called without a body, on an image that has bytes.</remarks>
internal static class MatrixRequests
{
    /// <summary>An import that needs no bytes.</summary>
    public const string Import = """{"method":{"name":"web-download","uri":"https://images.example/disk"}}""";

    private static readonly Dictionary<string, string> Bodies = new(StringComparer.Ordinal)
    {
        ["POST /v2/images"] = "{}",
        ["PATCH /v2/images/{id}"] = """[{"op":"replace","path":"/name","value":"x"}]""",
        ["PUT /v2/images/{id}/file"] = "content",
        ["PUT /v2/images/{id}/stage"] = "content",
        ["POST /v2/images/{id}/import"] = Import,
        ["POST /v2/images/{id}/members"] = """{"member":"UNIQUE"}""",
        ["PUT /v2/images/{id}/members/{member}"] = """{"status":"accepted"}""",
        ["POST /registry/v1/images/{id}/copies"] = """{"store":"second"}""",
        ["POST /registry/v1/scrubs"] = "{}",
    };

    private static readonly HashSet<string> OnEmptyImages =
        ["PUT /v2/images/{id}/file", "PUT /v2/images/{id}/stage", "POST /v2/images/{id}/import"];

    /// <summary>Whether a route wants an image that has no bytes yet.</summary>
    public static bool WantsEmpty(string route) => OnEmptyImages.Contains(route);

    /// <summary>Calls a route.</summary>
    /// <returns>The status.</returns>
    public static async Task<string> CallAsync(MatrixLab lab, string caller, string route, string id)
    {
        var blank = route.IndexOf(' ', StringComparison.Ordinal);
        var path = route[(blank + 1)..]
            .Replace("/jobs/{id}", "/jobs/" + lab.Job, StringComparison.Ordinal)
            .Replace("/v2/tasks/{id}", "/v2/tasks/" + lab.Job, StringComparison.Ordinal)
            .Replace("{id}", id, StringComparison.Ordinal)
            .Replace("{tag}", "t", StringComparison.Ordinal)
            .Replace("{store}", "second", StringComparison.Ordinal)
            .Replace("{member}", MatrixLab.Member, StringComparison.Ordinal);
        var body = Bodies.GetValueOrDefault(route)?
            .Replace("UNIQUE", Guid.NewGuid().ToString("N"), StringComparison.Ordinal);
        using var response = await lab.SendAsync(caller, new HttpMethod(route[..blank]), path, body);
        return ((int)response.StatusCode).ToString(System.Globalization.CultureInfo.InvariantCulture);
    }
}
