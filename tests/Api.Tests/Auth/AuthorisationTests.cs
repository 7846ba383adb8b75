using System.Text;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>Who may do what, with callers that an authenticating proxy vouches for.</summary>
public sealed class AuthorisationTests : IAsyncLifetime
{
    private const string Owner = "owner-project";
    private const string Other = "other-project";

    private readonly RegistryApp _app = new() { Settings = { ["Registry:Auth:Kind"] = "proxy" } };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task Nobody_is_asked_who_it_is_where_it_does_not_matter_and_everybody_where_it_does()
    {
        foreach (var path in new[] { "/healthcheck", "/livez", "/readyz", "/registry/v1" })
        {
            Assert.Equal(200, await StatusAsync(Nobody, HttpMethod.Get, path));
        }

        Assert.Equal(300, await StatusAsync(Nobody, HttpMethod.Get, "/"));
        foreach (var path in new[]
        {
            "/v2/images", "/v2/nothing", "/v2/schemas/image", $"/v2/images/{Guid.NewGuid()}", "/registry/v1/jobs",
            "/v2/info/stores",
        })
        {
            using var response = await SendAsync(Nobody, HttpMethod.Get, path);
            Assert.Equal(401, (int)response.StatusCode);
            Assert.Empty(response.Headers.WwwAuthenticate); // only the proxy knows where a token is to be had
        }

        var refused = await Assert.ThrowsAsync<RpcException>(
            async () => await new Protos.V1.Images.ImagesClient(_app.Grpc).ListAsync(
                new ListImagesRequest(), cancellationToken: RegistryApp.Stop));
        Assert.Equal(StatusCode.Unauthenticated, refused.StatusCode);
    }

    [Fact]
    public async Task An_image_nobody_else_sees_is_not_there_and_one_that_is_seen_is_forbidden()
    {
        var id = await CreateAsync(Member(Owner), "private");
        var missing = Guid.NewGuid().ToString();
        foreach (var (method, path, body) in Changes)
        {
            Assert.Equal(404, await StatusAsync(Member(Other), method, path.Replace("ID", id), body));
            Assert.Equal(404, await StatusAsync(Member(Other), method, path.Replace("ID", missing), body));
        }

        var community = await CreateAsync(Member(Owner), "community");
        foreach (var (method, path, body) in Changes.Where(c => c.Method != HttpMethod.Get))
        {
            Assert.Equal(403, await StatusAsync(Member(Other), method, path.Replace("ID", community), body));
        }

        Assert.Equal(200, await StatusAsync(Member(Other), HttpMethod.Get, $"/v2/images/{community}"));
        Assert.Equal(200, await StatusAsync(Reader(Owner), HttpMethod.Get, $"/v2/images/{id}"));
        Assert.Equal(200, await StatusAsync(Admin, HttpMethod.Get, $"/v2/images/{id}"));
    }

    [Fact]
    public async Task A_reader_looks_and_changes_nothing()
    {
        var id = await CreateAsync(Member(Owner), "shared");
        Assert.Equal(200, await StatusAsync(Reader(Owner), HttpMethod.Get, "/v2/images"));
        Assert.Equal(403, await StatusAsync(Reader(Owner), HttpMethod.Post, "/v2/images", "{}"));
        foreach (var (method, path, body) in Changes.Where(c => c.Method != HttpMethod.Get))
        {
            Assert.Equal(403, await StatusAsync(Reader(Owner), method, path.Replace("ID", id), body));
        }

        Assert.Equal(403, await StatusAsync(Reader(Owner), HttpMethod.Get, $"/v2/images/{id}/file"));
        Assert.Equal(403, await StatusAsync(Caller(Owner, "member"), HttpMethod.Get, "/v2/images"));
        Assert.Equal(404, await StatusAsync(Caller(Owner, "member"), HttpMethod.Get, $"/v2/images/{id}"));
    }

    [Fact]
    public async Task Only_administrators_publish_give_away_copy_and_scrub()
    {
        Assert.Equal(403, await StatusAsync(
            Member(Owner), HttpMethod.Post, "/v2/images", """{"visibility":"public"}"""));
        Assert.Equal(403, await StatusAsync(Member(Owner), HttpMethod.Post, "/v2/images", """{"owner":"x"}"""));
        var id = await CreateAsync(Member(Owner), "shared");
        foreach (var patch in new[]
        {
            """[{"op":"replace","path":"/visibility","value":"public"}]""",
            """[{"op":"replace","path":"/owner","value":"x"}]""",
            """[{"op":"add","path":"/owner","value":"x"}]""",
        })
        {
            Assert.Equal(403, await StatusAsync(Member(Owner), HttpMethod.Patch, $"/v2/images/{id}", patch));
        }

        const string community = """[{"op":"replace","path":"/visibility","value":"community"}]""";
        Assert.Equal(200, await StatusAsync(Member(Owner), HttpMethod.Patch, $"/v2/images/{id}", community));
        Assert.Equal(403, await StatusAsync(
            Member(Owner), HttpMethod.Post, $"/registry/v1/images/{id}/copies", """{"store":"default"}"""));
        Assert.Equal(403, await StatusAsync(Member(Owner), HttpMethod.Post, "/registry/v1/scrubs", "{}"));
        Assert.Equal(202, await StatusAsync(Admin, HttpMethod.Post, "/registry/v1/scrubs", "{}"));
        Assert.Equal(200, await StatusAsync(
            Admin, HttpMethod.Patch, $"/v2/images/{id}", """[{"op":"replace","path":"/visibility","value":"public"}]"""));
    }

    [Fact]
    public async Task A_member_sees_downloads_and_answers_for_itself_and_no_more()
    {
        var id = await CreateAsync(Member(Owner), "shared");
        Assert.Equal(204, await StatusAsync(Member(Owner), HttpMethod.Put, $"/v2/images/{id}/file", "content"));
        Assert.Equal(404, await StatusAsync(Member(Other), HttpMethod.Get, $"/v2/images/{id}"));
        Assert.Equal(200, await StatusAsync(
            Member(Owner), HttpMethod.Post, $"/v2/images/{id}/members", $$"""{"member":"{{Other}}"}"""));

        Assert.Equal(200, await StatusAsync(Member(Other), HttpMethod.Get, $"/v2/images/{id}"));
        Assert.Equal(200, await StatusAsync(Member(Other), HttpMethod.Get, $"/v2/images/{id}/file"));
        Assert.Equal(200, await StatusAsync(Member(Other), HttpMethod.Get, $"/v2/images/{id}/members"));
        Assert.Equal(403, await StatusAsync(
            Member(Owner), HttpMethod.Put, $"/v2/images/{id}/members/{Other}", """{"status":"accepted"}"""));
        Assert.Equal(200, await StatusAsync(
            Member(Other), HttpMethod.Put, $"/v2/images/{id}/members/{Other}", """{"status":"accepted"}"""));
        Assert.Equal(404, await StatusAsync(
            Member(Other), HttpMethod.Put, $"/v2/images/{id}/members/{Owner}", """{"status":"accepted"}"""));
        foreach (var (method, path, body) in Changes.Where(c => c.Method != HttpMethod.Get))
        {
            Assert.Equal(403, await StatusAsync(Member(Other), method, path.Replace("ID", id), body));
        }

        Assert.Equal(403, await StatusAsync(Member(Other), HttpMethod.Delete, $"/v2/images/{id}/members/{Other}"));
        Assert.Equal(204, await StatusAsync(Member(Owner), HttpMethod.Delete, $"/v2/images/{id}/members/{Other}"));
        Assert.Equal(404, await StatusAsync(Member(Other), HttpMethod.Get, $"/v2/images/{id}/file"));
    }

    private static readonly (HttpMethod Method, string Path, string? Body)[] Changes =
    [
        (HttpMethod.Get, "/v2/images/ID", null),
        (HttpMethod.Get, "/v2/images/ID/file", null),
        (HttpMethod.Get, "/v2/images/ID/members", null),
        (HttpMethod.Get, "/registry/v1/images/ID/disk", null),
        (HttpMethod.Patch, "/v2/images/ID", """[{"op":"replace","path":"/name","value":"x"}]"""),
        (HttpMethod.Put, "/v2/images/ID/file", "content"),
        (HttpMethod.Put, "/v2/images/ID/tags/x", null),
        (HttpMethod.Delete, "/v2/images/ID/tags/x", null),
        (HttpMethod.Post, "/v2/images/ID/members", """{"member":"x"}"""),
        (HttpMethod.Post, "/v2/images/ID/actions/deactivate", null),
        (HttpMethod.Post, "/v2/images/ID/actions/reactivate", null),
        (HttpMethod.Delete, "/v2/images/ID", null),
    ];

    private static readonly (string Name, string Value)[] Nobody = [];

    private static readonly (string Name, string Value)[] Admin = Caller("admin-project", "admin,member,reader");

    private static (string Name, string Value)[] Member(string project) => Caller(project, "member,reader");

    private static (string Name, string Value)[] Reader(string project) => Caller(project, "reader");

    private static (string Name, string Value)[] Caller(string project, string roles) =>
    [
        ("X-Identity-Status", "Confirmed"), ("X-User-Id", "user"), ("X-Project-Id", project), ("X-Roles", roles),
    ];

    private async Task<string> CreateAsync((string Name, string Value)[] caller, string visibility)
    {
        using var response = await SendAsync(
            caller, HttpMethod.Post, "/v2/images",
            $$"""{"visibility":"{{visibility}}","disk_format":"raw","container_format":"bare"}""");
        Assert.Equal(201, (int)response.StatusCode);
        return (await RegistryApp.JsonAsync(response)).GetProperty("id").GetString()!;
    }

    private async Task<int> StatusAsync(
        (string Name, string Value)[] caller, HttpMethod method, string path, string? body = null)
    {
        using var response = await SendAsync(caller, method, path, body);
        return (int)response.StatusCode;
    }

    private async Task<HttpResponseMessage> SendAsync(
        (string Name, string Value)[] caller, HttpMethod method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(method, path);
        foreach (var (name, value) in caller)
        {
            request.Headers.Add(name, value);
        }

        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.ContentType = new(
                path.EndsWith("/file", StringComparison.Ordinal) ? "application/octet-stream"
                : method == HttpMethod.Patch ? Registry.Api.Images.ImagePatch.MediaType21
                : "application/json");
        }

        return await _app.Http.SendAsync(request, RegistryApp.Stop);
    }
}
