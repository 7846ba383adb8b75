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
        ["POST /v2/tasks"] = """
            {"type":"import","input":{"import_from":"https://images.example/disk","import_from_format":"raw","image_properties":{}}}
            """,
        ["POST /v2/images/{id}/locations"] = """{"url":"https://images.example/disk"}""",
        ["POST /v2/images/{id}/members"] = """{"member":"UNIQUE"}""",
        ["PUT /v2/images/{id}/members/{member}"] = """{"status":"accepted"}""",
        ["POST /registry/v1/images/{id}/copies"] = """{"store":"second"}""",
        ["POST /registry/v1/scrubs"] = "{}",
        ["POST /registry/v1/provisions"] = """{"image_id":"00000000-0000-4000-8000-000000000000","name":"made"}""",
        ["POST /v2/metadefs/namespaces"] = """{"namespace":"UNIQUE"}""",
        ["PUT /v2/metadefs/namespaces/{ns}"] = """{"namespace":"NAMESPACE"}""",
        ["POST /v2/metadefs/namespaces/{ns}/objects"] = """{"name":"UNIQUE"}""",
        ["PUT /v2/metadefs/namespaces/{ns}/objects/{definition}"] = """{"name":"o"}""",
        ["POST /v2/metadefs/namespaces/{ns}/properties"] = """{"name":"UNIQUE","title":"x","type":"string"}""",
        ["PUT /v2/metadefs/namespaces/{ns}/properties/{property}"] = """{"name":"p","title":"x","type":"string"}""",
        ["POST /v2/metadefs/namespaces/{ns}/resource_types"] = """{"name":"OS::Nova::Flavor"}""",
        ["POST /v2/metadefs/namespaces/{ns}/tags"] = """{"tags":[{"name":"UNIQUE"}]}""",
        ["PUT /v2/metadefs/namespaces/{ns}/tags/{tag}"] = """{"name":"t"}""",
    };

    private static readonly HashSet<string> OnEmptyImages =
    [
        "PUT /v2/images/{id}/file", "PUT /v2/images/{id}/stage", "POST /v2/images/{id}/import",
        "POST /v2/images/{id}/locations",
    ];

    /// <summary>Whether a route wants an image that has no bytes yet.</summary>
    public static bool WantsEmpty(string route) => OnEmptyImages.Contains(route);

    /// <summary>Calls a route.</summary>
    /// <returns>The status.</returns>
    public static async Task<string> CallAsync(MatrixLab lab, string caller, string route, string id)
    {
        var blank = route.IndexOf(' ', StringComparison.Ordinal);
        var unique = Guid.NewGuid().ToString("N");
        var definitions = route.Contains("{ns}", StringComparison.Ordinal) ? await MakeNamespaceAsync(lab) : "";
        var path = route[(blank + 1)..]
            .Replace("{ns}", definitions, StringComparison.Ordinal)
            .Replace("{definition}", "o", StringComparison.Ordinal)
            .Replace("{property}", "p", StringComparison.Ordinal)
            .Replace("{type}", "OS::Glance::Image", StringComparison.Ordinal)
            .Replace("/jobs/{id}", "/jobs/" + lab.Job, StringComparison.Ordinal)
            .Replace("/v2/tasks/{id}", "/v2/tasks/" + lab.Job, StringComparison.Ordinal)
            .Replace("{id}", id, StringComparison.Ordinal)
            .Replace("{tag}", route.StartsWith("POST", StringComparison.Ordinal) ? unique : "t", StringComparison.Ordinal)
            .Replace("{store}", "second", StringComparison.Ordinal)
            .Replace("{member}", MatrixLab.Member, StringComparison.Ordinal);
        path += route.EndsWith("/changes", StringComparison.Ordinal) ? $"?since={id}" : "";
        var body = Bodies.GetValueOrDefault(route)?
            .Replace("UNIQUE", unique, StringComparison.Ordinal)
            .Replace("NAMESPACE", definitions, StringComparison.Ordinal);
        using var response = await lab.SendAsync(caller, new HttpMethod(route[..blank]), path, body);
        return ((int)response.StatusCode).ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    // Public, with one part of each kind; a new one for every call, for some calls take it away.
    private static async Task<string> MakeNamespaceAsync(MatrixLab lab)
    {
        var name = Guid.NewGuid().ToString("N");
        var body = """
            {"namespace":"NAME","visibility":"public","properties":{"p":{"title":"p","type":"string"}},
             "objects":[{"name":"o"}],"tags":[{"name":"t"}],"resource_type_associations":[{"name":"OS::Glance::Image"}]}
            """.Replace("NAME", name, StringComparison.Ordinal);
        using var response = await lab.SendAsync("admin", HttpMethod.Post, "/v2/metadefs/namespaces", body);
        Assert.Equal(201, (int)response.StatusCode);
        return name;
    }
}
