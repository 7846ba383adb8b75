using System.Text;
using Registry.Support;

namespace Registry.Api.Tests.Metadefs;

/// <summary>Who may see and change metadata definitions.</summary>
public sealed class MetadefPolicyTests : IAsyncLifetime
{
    private const string Namespaces = "/v2/metadefs/namespaces";
    private readonly TempDirectory _directory = new();
    private RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        _app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Auth:Kind"] = "proxy", ["Registry:Policy:File"] = _directory.File("policy.yaml"),
            },
        };
        await File.WriteAllTextAsync(
            _directory.File("policy.yaml"),
            "add_metadef_namespace: role:curator\nadd_metadef_tag: role:curator\ndelete_metadef_namespace: role:curator\n" +
            "modify_metadef_namespace: role:curator\n");
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task A_private_namespace_of_others_is_not_there_and_a_public_one_is_only_read()
    {
        const string Parts = """
            "properties":{"p":{"title":"P","type":"string"}},"objects":[{"name":"o"}],"tags":[{"name":"t"}],
            "resource_type_associations":[{"name":"T","prefix":"x"}]
            """;
        await MakeAsync($$"""{"namespace":"open","visibility":"public","owner":"a",{{Parts}}}""");
        await MakeAsync($$"""{"namespace":"closed","owner":"a",{{Parts}}}""");
        foreach (var part in new[]
        {
            "", "/properties", "/properties/p", "/properties/xp?resource_type=T", "/objects", "/objects/o", "/tags",
            "/tags/t", "/resource_types",
        })
        {
            Assert.Equal(200, await StatusAsync("b", "reader", "GET", $"{Namespaces}/open{part}"));
            Assert.Equal(200, await StatusAsync("a", "reader", "GET", $"{Namespaces}/closed{part}"));
            Assert.Equal(200, await StatusAsync("c", "admin", "GET", $"{Namespaces}/closed{part}"));
            Assert.Equal(404, await StatusAsync("b", "reader", "GET", $"{Namespaces}/closed{part}"));
            Assert.Equal(404, await StatusAsync("b", "other", "GET", $"{Namespaces}/open{part}"));
        }

        foreach (var (method, path, body) in Changes)
        {
            Assert.Equal(403, await StatusAsync("a", "member,reader", method, $"{Namespaces}/open{path}", body));
            Assert.Equal(404, await StatusAsync("b", "member,reader", method, $"{Namespaces}/closed{path}", body));
        }

        Assert.Equal(["open"], await ListAsync("b", "reader"));
        Assert.Equal(["closed", "open"], await ListAsync("a", "reader"));
        Assert.Equal(["closed", "open"], await ListAsync("b", "admin"));
        Assert.Equal(404, await StatusAsync("a", "other", "GET", Namespaces));
        Assert.Equal(200, await StatusAsync("a", "reader", "GET", "/v2/metadefs/resource_types"));
        Assert.Equal(404, await StatusAsync("a", "other", "GET", "/v2/metadefs/resource_types"));
    }

    [Fact]
    public async Task Whom_the_operator_lets_write_writes_in_its_own_namespaces_only()
    {
        await MakeAsync("""{"namespace":"open","visibility":"public","owner":"a"}""");
        Assert.Equal(201, await StatusAsync("b", "curator,reader", "POST", Namespaces, """{"namespace":"own"}"""));
        Assert.Equal(
            403, await StatusAsync("b", "curator,reader", "POST", Namespaces, """{"namespace":"x","owner":"a"}"""));
        Assert.Equal(
            403, await StatusAsync("b", "curator,reader", "POST", Namespaces, """{"namespace":"x","objects":[{"name":"o"}]}"""));
        Assert.Equal(
            403,
            await StatusAsync(
                "b", "curator,reader", "PUT", $"{Namespaces}/own", """{"namespace":"own","owner":"a"}"""));
        Assert.Equal(201, await StatusAsync("b", "curator,reader", "POST", $"{Namespaces}/own/tags/t"));
        Assert.Equal(403, await StatusAsync("b", "curator,reader", "POST", $"{Namespaces}/open/tags/t"));
        Assert.Equal(403, await StatusAsync("b", "curator,reader", "DELETE", $"{Namespaces}/open"));
        Assert.Equal(204, await StatusAsync("b", "curator,reader", "DELETE", $"{Namespaces}/own"));
    }

    private static readonly (string Method, string Path, string? Body)[] Changes =
    [
        ("PUT", "", """{"namespace":"open"}"""),
        ("POST", "/properties", """{"name":"q","title":"Q","type":"string"}"""),
        ("PUT", "/properties/p", """{"name":"q","title":"Q","type":"string"}"""),
        ("DELETE", "/properties/p", null),
        ("POST", "/objects", """{"name":"q"}"""),
        ("PUT", "/objects/o", """{"name":"q"}"""),
        ("DELETE", "/objects/o", null),
        ("POST", "/tags", """{"tags":[]}"""),
        ("POST", "/tags/q", null),
        ("PUT", "/tags/t", """{"name":"q"}"""),
        ("DELETE", "/tags/t", null),
        ("POST", "/resource_types", """{"name":"q"}"""),
        ("DELETE", "/resource_types/T", null),
        ("DELETE", "/properties", null),
        ("DELETE", "/objects", null),
        ("DELETE", "/tags", null),
        ("DELETE", "", null),
    ];

    private async Task MakeAsync(string body) =>
        Assert.Equal(201, await StatusAsync("admins", "admin,curator", "POST", Namespaces, body));

    private async Task<IEnumerable<string>> ListAsync(string project, string roles)
    {
        using var response = await SendAsync(project, roles, "GET", Namespaces + "?sort_key=namespace&sort_dir=asc");
        return (await RegistryApp.JsonAsync(response)).GetProperty("namespaces").EnumerateArray()
            .Select(n => n.GetProperty("namespace").GetString()!);
    }

    private async Task<int> StatusAsync(
        string project, string roles, string method, string path, string? body = null)
    {
        using var response = await SendAsync(project, roles, method, path, body);
        return (int)response.StatusCode;
    }

    private async Task<HttpResponseMessage> SendAsync(
        string project, string roles, string method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        request.Headers.Add("X-Identity-Status", "Confirmed");
        request.Headers.Add("X-User-Id", "user");
        request.Headers.Add("X-Project-Id", project);
        request.Headers.Add("X-Roles", roles);
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        }

        return await _app.Http.SendAsync(request, RegistryApp.Stop);
    }
}
