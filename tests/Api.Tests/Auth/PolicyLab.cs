using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Registry.Api.Images;

namespace Registry.Api.Tests.Auth;

/// <summary>An image service that believes identity headers and reads its policy from a file, filled with images and
/// namespaces of one project.</summary>
/// <param name="http">Its client.</param>
/// <param name="usePolicy">Makes the text of a file its policy.</param>
internal sealed class PolicyLab(HttpClient http, Func<string, Task> usePolicy)
{
    /// <summary>Who calls, in the order of the table's columns: project, and roles.</summary>
    public static readonly (string Name, string Project, string Roles)[] Callers =
    [
        ("other", "other-project", "member,reader"), ("member", "member-project", "member,reader"),
        ("reader", "owner-project", "reader"), ("owner", "owner-project", "member,reader"),
        ("admin", "admin-project", "admin,member,reader"),
    ];

    // Whatever the policy is that is looked at, all that it is about is made with this one.
    private const string SetUpPolicy = "secure-rbac";

    private readonly Dictionary<(string Kind, bool HasData), Stack<string>> _images = [];
    private readonly Dictionary<string, Stack<string>> _namespaces = [];
    private readonly Dictionary<(string Kind, bool HasData), string> _keptImages = [];
    private readonly Dictionary<string, string> _keptNamespaces = [];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>Answers every request with a policy.</summary>
    /// <param name="policy">The policy's name.</param>
    /// <param name="text">Reads the text of a policy's file.</param>
    /// <param name="rows">The requests.</param>
    /// <returns>For each request and kind, what each caller was answered.</returns>
    public async Task<Dictionary<string, string[]>> RunAsync(
        string policy, Func<string, Task<string>> text, IReadOnlyList<PolicyRow> rows)
    {
        await usePolicy(await text(SetUpPolicy));
        await PrepareAsync(rows);
        await usePolicy(await text(policy));
        var answers = new Dictionary<string, string[]>();
        foreach (var (row, kind) in rows.SelectMany(row => row.Kinds.Select(kind => (row, kind))))
        {
            var said = new List<string>();
            foreach (var (_, project, roles) in Callers)
            {
                said.Add(await CallAsync(row, kind, project, roles));
            }

            answers.Add(Key(policy, row, kind), [.. said]);
        }

        return answers;
    }

    /// <summary>How a row of the table begins.</summary>
    public static string Key(string policy, PolicyRow row, string kind)
    {
        var visibility = row.Body?.Contains("\"/visibility\"", StringComparison.Ordinal) == true ? " visibility" : "";
        return $"{policy},{row.Route}{visibility},{kind}";
    }

    private async Task<string> CallAsync(PolicyRow row, string kind, string project, string roles)
    {
        var isImage = row.Path.Contains("ID", StringComparison.Ordinal);
        var isNamespace = row.Path.Contains("NS", StringComparison.Ordinal);
        var id = isImage ? Image(row, kind) : isNamespace ? Namespace(row, kind) : "";
        var unique = Guid.NewGuid().ToString("N");
        string Filled(string text) => text.Replace("ID", id, StringComparison.Ordinal)
            .Replace("NS", id, StringComparison.Ordinal).Replace("KIND", kind, StringComparison.Ordinal)
            .Replace("UNIQUE", unique, StringComparison.Ordinal);
        using var response = await SendAsync(
            row.Method, Filled(row.Path), row.Body is null ? null : Filled(row.Body), project, roles);
        var status = ((int)response.StatusCode).ToString(CultureInfo.InvariantCulture);
        if (!response.IsSuccessStatusCode)
        {
            return status;
        }

        if (row.IsSpent && isImage)
        {
            _images[(kind, row.HasData)].Pop();
        }
        else if (row.IsSpent && isNamespace)
        {
            _namespaces[kind].Pop();
        }

        return row.Counted is null ? status : $"{status} {await CountAsync(response, row.Counted)}";
    }

    // Of lists that others fill too, only what is kept counts.
    private async Task<int> CountAsync(HttpResponseMessage response, string member)
    {
        var body = await response.Content.ReadFromJsonAsync<JsonElement>(Stop);
        if (!body.TryGetProperty(member, out var list))
        {
            return 0;
        }

        return list.ValueKind == JsonValueKind.Object ? list.EnumerateObject().Count()
            : member == "namespaces"
                ? list.EnumerateArray().Count(one => _keptNamespaces.ContainsValue(one.GetProperty("namespace").GetString()!))
            : list.GetArrayLength();
    }

    private string Image(PolicyRow row, string kind) =>
        row.IsSpent ? _images[(kind, row.HasData)].Peek() : _keptImages[(kind, row.HasData)];

    private string Namespace(PolicyRow row, string kind) =>
        row.IsSpent ? _namespaces[kind].Peek() : _keptNamespaces[kind];

    // As many as all callers can spend.
    private async Task PrepareAsync(IReadOnlyList<PolicyRow> rows)
    {
        foreach (var (row, kind) in rows.SelectMany(row => row.Kinds.Select(kind => (row, kind))))
        {
            if (row.Path.Contains("ID", StringComparison.Ordinal) && !row.IsSpent && !_keptImages.ContainsKey((kind, row.HasData)))
            {
                _keptImages[(kind, row.HasData)] = await MakeImageAsync(kind, row.HasData, row.HasData ? "kept" : "empty");
            }
            else if (row.Path.Contains("NS", StringComparison.Ordinal) && !row.IsSpent && !_keptNamespaces.ContainsKey(kind))
            {
                _keptNamespaces[kind] = await MakeNamespaceAsync(kind);
            }
        }

        var spent = rows.Where(row => row.IsSpent).SelectMany(row => row.Kinds.Select(kind => (row, kind)));
        foreach (var group in spent.GroupBy(one => (one.kind, one.row.HasData, IsImage: one.row.Path.Contains("ID", StringComparison.Ordinal))))
        {
            var wanted = group.Count() * Callers.Length;
            var (kind, hasData, isImage) = group.Key;
            var pool = isImage
                ? _images.TryGetValue((kind, hasData), out var images) ? images : _images[(kind, hasData)] = []
                : _namespaces.TryGetValue(kind, out var namespaces) ? namespaces : _namespaces[kind] = [];
            while (pool.Count < wanted)
            {
                pool.Push(isImage ? await MakeImageAsync(kind, hasData, "spent") : await MakeNamespaceAsync(kind));
            }
        }
    }

    private async Task<string> MakeImageAsync(string kind, bool hasData, string tag)
    {
        using var created = await DoAsync(
            HttpMethod.Post, "/v2/images",
            $$"""
            {"owner":"owner-project","visibility":"{{kind}}","disk_format":"raw","container_format":"bare","tags":["{{tag}}"]}
            """);
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>(Stop)).GetProperty("id").GetString()!;
        if (hasData)
        {
            using var _ = await DoAsync(HttpMethod.Put, $"/v2/images/{id}/file", new string('x', 512));
        }

        if (kind == "shared")
        {
            using var _ = await DoAsync(
                HttpMethod.Post, $"/v2/images/{id}/members", $$"""{"member":"member-project"}""");
        }

        return id;
    }

    private async Task<string> MakeNamespaceAsync(string kind)
    {
        var name = Guid.NewGuid().ToString("N");
        using var _ = await DoAsync(
            HttpMethod.Post, "/v2/metadefs/namespaces",
            $$"""
            {"namespace":"{{name}}","visibility":"{{kind}}","owner":"owner-project",
             "properties":{"p":{"title":"p","type":"string"} },"objects":[{"name":"o"}],"tags":[{"name":"t"}],
             "resource_type_associations":[{"name":"OS::Glance::Image"}]}
            """);
        return name;
    }

    private async Task<HttpResponseMessage> DoAsync(HttpMethod method, string path, string? body)
    {
        var response = await SendAsync(method, path, body, "admin-project", "admin,member,reader");
        Assert.True(
            response.IsSuccessStatusCode,
            $"{method} {path}: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync(Stop)}");
        return response;
    }

    private async Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, string? body, string project, string roles)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Add("X-Identity-Status", "Confirmed");
        request.Headers.Add("X-User-Id", "user");
        request.Headers.Add("X-Project-Id", project);
        request.Headers.Add("X-Roles", roles);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.ContentType = new(
                method == HttpMethod.Patch ? ImagePatch.MediaType21
                : path.EndsWith("/file", StringComparison.Ordinal) || path.EndsWith("/stage", StringComparison.Ordinal)
                    ? "application/octet-stream" : "application/json");
        }

        return await http.SendAsync(request, Stop);
    }
}
