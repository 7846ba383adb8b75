using System.Text.Json;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>No rule of a policy lets a project change what is another's.</summary>
public sealed class OwnershipTests
{
    private const string Data = "content";
    private const string Url = "https://images.example/disk";

    private static readonly Metadata Owner = ProxyApp.Identity("owner-project");
    private static readonly Metadata Admin = ProxyApp.Identity("admin-project", "admin,member,reader");

    private static (string Method, string Path, string? Body, bool OnEmpty)[] Changes =>
    [
        ("PATCH", "", """[{"op":"replace","path":"/name","value":"x"}]""", false),
        ("PATCH", "", """[{"op":"add","path":"/colour","value":"x"}]""", false),
        ("PATCH", "", """[{"op":"replace","path":"/visibility","value":"private"}]""", false),
        ("PATCH", "", """[{"op":"replace","path":"/protected","value":true}]""", false),
        ("PATCH", "", """[{"op":"replace","path":"/tags","value":["x"]}]""", false),
        ("PATCH", "", """[{"op":"add","path":"/locations/-","value":{"url":"https://images.example/disk","metadata":{}}}]""", true),
        ("PATCH", "", """[{"op":"replace","path":"/locations","value":[{"url":"https://images.example/disk","metadata":{}}]}]""", true),
        ("PATCH", "", """[{"op":"remove","path":"/locations/0"}]""", false),
        ("PUT", "/tags/x", null, false),
        ("DELETE", "/tags/t", null, false),
        ("PUT", "/file", Data, true),
        ("PUT", "/stage", Data, true),
        ("POST", "/import", $$$"""{"method":{"name":"web-download","uri":"{{{Url}}}"}}""", true),
        ("POST", "/locations", $$"""{"url":"{{Url}}"}""", true),
        ("POST", "/actions/deactivate", null, false),
        ("POST", "/actions/reactivate", null, false),
    ];

    [Theory]
    [InlineData("")]
    [InlineData("@")]
    [InlineData("role:member")]
    [InlineData("not role:nothing")]
    public async Task Others_change_nothing_over_http_or_grpc_whatever_the_rule(string rule)
    {
        await using var lab = await ProxyApp.StartAsync(ProxyApp.Uniform(rule));
        foreach (var visibility in new[] { "public", "community", "shared", "private" })
        {
            await RequireOwnAsync(lab, visibility);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("role:member")]
    public async Task Members_are_added_by_the_owner_and_answer_for_themselves_whatever_the_rule(string rule)
    {
        await using var lab = await ProxyApp.StartAsync(ProxyApp.Uniform(rule));
        var id = await MakeAsync(lab, "shared", withData: false);
        var members = $"/v2/images/{id}/members";
        var member = ProxyApp.Identity("member-project");
        Assert.Equal(403, await lab.StatusAsync(member, "POST", members, """{"member":"friend"}"""));
        Assert.Equal(403, await lab.StatusAsync(member, "DELETE", $"{members}/member-project"));
        Assert.Equal(200, await lab.StatusAsync(Owner, "POST", members, """{"member":"second"}"""));
        const string Accepted = """{"status":"accepted"}""";
        Assert.Equal(404, await lab.StatusAsync(member, "PUT", $"{members}/second", Accepted));
        Assert.Equal(403, await lab.StatusAsync(Owner, "PUT", $"{members}/second", Accepted));
        Assert.Equal(200, await lab.StatusAsync(member, "PUT", $"{members}/member-project", Accepted));
        Assert.Equal(200, await lab.StatusAsync(Admin, "PUT", $"{members}/second", Accepted));
        Assert.Equal(204, await lab.StatusAsync(Owner, "DELETE", $"{members}/second"));

        // The owner cannot put an image into another project's list, itself a member or not.
        Assert.Equal(200, await lab.StatusAsync(Owner, "POST", members, """{"member":"owner-project"}"""));
        Assert.Equal(403, await lab.StatusAsync(Owner, "PUT", $"{members}/owner-project", Accepted));
    }

    [Theory]
    [InlineData("")]
    [InlineData("@")]
    public async Task Namespaces_jobs_and_stores_are_changed_by_their_owner_whatever_the_rule(string rule)
    {
        await using var lab = await ProxyApp.StartAsync(ProxyApp.Uniform(rule));
        await lab.DoAsync(
            Admin, "POST", "/v2/metadefs/namespaces",
            """
            {"namespace":"theirs","visibility":"public","owner":"owner-project","objects":[{"name":"o"}],"tags":[{"name":"t"}],
             "properties":{"p":{"title":"p","type":"string"}},"resource_type_associations":[{"name":"T"}]}
            """);
        var other = ProxyApp.Identity("other-project");
        foreach (var (method, path, body) in new (string, string, string?)[]
        {
            ("PUT", "", """{"namespace":"theirs"}"""), ("DELETE", "", null),
            ("POST", "/objects", """{"name":"q"}"""), ("PUT", "/objects/o", """{"name":"q"}"""), ("DELETE", "/objects/o", null),
            ("POST", "/properties", """{"name":"q","title":"Q","type":"string"}"""), ("DELETE", "/properties/p", null),
            ("POST", "/tags/q", null), ("PUT", "/tags/t", """{"name":"q"}"""), ("DELETE", "/tags/t", null),
            ("POST", "/resource_types", """{"name":"q"}"""), ("DELETE", "/resource_types/T", null),
            ("DELETE", "/objects", null), ("DELETE", "/properties", null), ("DELETE", "/tags", null),
        })
        {
            Assert.Equal(403, await lab.StatusAsync(other, method, $"/v2/metadefs/namespaces/theirs{path}", body));
        }

        var empty = await MakeAsync(lab, "public", withData: false);
        await lab.DoAsync(Owner, "POST", $"/v2/images/{empty}/import", $$$"""{"method":{"name":"web-download","uri":"{{{Url}}}"}}""");
        using var jobs = JsonDocument.Parse(await lab.DoAsync(Owner, "GET", "/registry/v1/jobs?kind=import"));
        var job = jobs.RootElement.GetProperty("jobs")[0].GetProperty("id").GetString()!;
        Assert.Equal(404, await lab.StatusAsync(other, "POST", $"/registry/v1/jobs/{job}/cancel"));
        Assert.Equal(404, await lab.StatusAsync(other, "GET", $"/registry/v1/jobs/{job}"));
        Assert.Equal(
            StatusCode.NotFound,
            await GrpcAsync(() => new Protos.V1.Jobs.JobsClient(lab.App.Grpc).CancelAsync(
                new GetJobRequest { Id = job }, other, cancellationToken: RegistryApp.Stop).ResponseAsync));
        Assert.Equal(202, await lab.StatusAsync(Owner, "POST", $"/registry/v1/jobs/{job}/cancel"));

        var full = await MakeAsync(lab, "public", withData: true);
        Assert.Equal(403, await lab.StatusAsync(other, "DELETE", $"/v2/stores/fast/{full}"));
        Assert.Equal(403, await lab.StatusAsync(
            other, "PATCH", $"/v2/images/{full}", """[{"op":"replace","path":"/owner","value":"other-project"}]"""));
        Assert.Equal(403, await lab.StatusAsync(other, "POST", "/v2/images", """{"owner":"owner-project"}"""));
    }

    private static async Task RequireOwnAsync(ProxyApp lab, string visibility)
    {
        var full = await MakeAsync(lab, visibility, withData: true);
        var empty = await MakeAsync(lab, visibility, withData: false);
        var before = (await ShowAsync(lab, full), await ShowAsync(lab, empty));
        foreach (var caller in new[] { "other-project", "member-project" })
        {
            var isSeen = visibility is "public" or "community" || (visibility == "shared" && caller == "member-project");
            await RequireRefusedAsync(lab, ProxyApp.Identity(caller), full, empty, isSeen);
        }

        Assert.Equal(before, (await ShowAsync(lab, full), await ShowAsync(lab, empty)));
        Assert.Equal(200, await lab.StatusAsync(
            Owner, "PATCH", $"/v2/images/{full}", """[{"op":"replace","path":"/name","value":"x"}]"""));
        Assert.Equal(204, await lab.StatusAsync(Owner, "PUT", $"/v2/images/{empty}/file", Data));
        Assert.Equal(200, await lab.StatusAsync(
            Admin, "PATCH", $"/v2/images/{full}", """[{"op":"replace","path":"/name","value":"y"}]"""));
        Assert.Equal(204, await lab.StatusAsync(Owner, "DELETE", $"/v2/images/{full}"));
        Assert.Equal(204, await lab.StatusAsync(Admin, "DELETE", $"/v2/images/{empty}"));
    }

    private static async Task RequireRefusedAsync(ProxyApp lab, Metadata caller, string full, string empty, bool isSeen)
    {
        foreach (var (method, path, body, onEmpty) in Changes)
        {
            using var response = await lab.SendAsync(caller, method, $"/v2/images/{(onEmpty ? empty : full)}{path}", body);
            var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
            Assert.True(isSeen ? 403 == (int)response.StatusCode : 404 == (int)response.StatusCode, $"{method} {path}: {text}");
            if (isSeen)
            {
                Assert.Contains("You do not own this image", text, StringComparison.Ordinal);
            }
        }

        Assert.Equal(404, await lab.StatusAsync(caller, "DELETE", $"/v2/images/{full}"));
        var refused = isSeen ? StatusCode.PermissionDenied : StatusCode.NotFound;
        var images = new Protos.V1.Images.ImagesClient(lab.App.Grpc);
        Assert.Equal(refused, await GrpcAsync(() => images.UpdateAsync(
            new UpdateImageRequest { Id = full, Name = "x", AddTags = { "x" } }, caller,
            cancellationToken: RegistryApp.Stop).ResponseAsync));
        Assert.Equal(StatusCode.NotFound, await GrpcAsync(() => images.DeleteAsync(
            new DeleteImageRequest { Id = full }, caller, cancellationToken: RegistryApp.Stop).ResponseAsync));
        Assert.Equal(refused, await GrpcAsync(async () =>
        {
            using var upload = images.Upload(caller, cancellationToken: RegistryApp.Stop);
            await upload.RequestStream.WriteAsync(
                new UploadRequest { Start = new UploadStart { Id = empty } }, RegistryApp.Stop);
            await upload.ResponseAsync;
        }));
    }

    private static async Task<StatusCode> GrpcAsync(Func<Task> call) =>
        (await Assert.ThrowsAsync<RpcException>(call)).StatusCode;

    private static async Task<string> MakeAsync(ProxyApp lab, string visibility, bool withData)
    {
        var id = await lab.MakeAsync(
            Admin, "POST", "/v2/images",
            $$"""
            {"owner":"owner-project","visibility":"{{visibility}}","disk_format":"raw","container_format":"bare","tags":["t"]}
            """);
        if (withData)
        {
            await lab.DoAsync(Admin, "PUT", $"/v2/images/{id}/file", Data);
        }

        if (visibility == "shared")
        {
            await lab.DoAsync(Admin, "POST", $"/v2/images/{id}/members", """{"member":"member-project"}""");
        }

        return id;
    }

    private static Task<string> ShowAsync(ProxyApp lab, string id) => lab.DoAsync(Admin, "GET", $"/v2/images/{id}");
}
