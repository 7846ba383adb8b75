using Microsoft.AspNetCore.Http;
using Registry.Api.Versions;

namespace Registry.Api.Tests.Versions;

public sealed class VersionEndpointsTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    [Theory]
    [InlineData("/versions", 200)]
    [InlineData("/", 300)]
    [InlineData("/v1/images", 300)]
    [InlineData("/v3", 300)]
    [InlineData("/foo", 300)]
    public async Task The_version_document_is_answered_with(string path, int status)
    {
        using var response = await app.SendAsync(HttpMethod.Get, path);
        Assert.Equal(status, (int)response.StatusCode);
        var versions = (await RegistryApp.JsonAsync(response)).GetProperty("versions").EnumerateArray().ToArray();
        Assert.Equal(
            "CURRENT",
            Assert.Single(versions, v => v.GetProperty("status").GetString() == "CURRENT")
                .GetProperty("status").GetString());
        Assert.Equal("v2.17", versions[0].GetProperty("id").GetString());
        Assert.Equal("CURRENT", versions[0].GetProperty("status").GetString());
        Assert.All(versions, v => Assert.Equal(
            $"{app.Url}v2/", Assert.Single(v.GetProperty("links").EnumerateArray()).GetProperty("href").GetString()));
    }

    [Fact]
    public async Task A_minor_version_in_the_path_is_the_same_api()
    {
        using var minor = await app.SendAsync(HttpMethod.Get, "/v2.7/images");
        Assert.Equal(200, (int)minor.StatusCode);
        using var media = await app.SendAsync(HttpMethod.Get, "/images", accept: "application/vnd.openstack.images-v2");
        Assert.Equal(200, (int)media.StatusCode);
    }

    [Fact]
    public async Task The_extension_api_describes_itself()
    {
        using var response = await app.SendAsync(HttpMethod.Get, "/registry/v1/openapi.json");
        Assert.Equal(200, (int)response.StatusCode);
        var document = await RegistryApp.JsonAsync(response);
        Assert.StartsWith("3.", document.GetProperty("openapi").GetString(), StringComparison.Ordinal);
        var paths = document.GetProperty("paths");
        Assert.All(paths.EnumerateObject(), path => Assert.StartsWith("/registry/v1", path.Name, StringComparison.Ordinal));
        var disk = paths.GetProperty("/registry/v1/images/{id}/disk").GetProperty("get");
        Assert.Equal(
            ["id", "format", "size", "compat", "cluster_size"],
            disk.GetProperty("parameters").EnumerateArray().Select(p => p.GetProperty("name").GetString()));
        Assert.True(paths.GetProperty("/registry/v1/images/{id}/nbd").TryGetProperty("post", out _));
        Assert.All(
            paths.EnumerateObject().SelectMany(path => path.Value.EnumerateObject()),
            operation => Assert.NotEmpty(operation.Value.GetProperty("summary").GetString()!));
    }

    [Theory]
    [InlineData("/healthcheck")]
    [InlineData("/livez")]
    [InlineData("/readyz")]
    public async Task Health_is_ok(string path)
    {
        using var response = await app.SendAsync(HttpMethod.Get, path, accept: "text/plain");
        Assert.Equal(200, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("", null)]
    [InlineData("http://grpc.example:443", "http://grpc.example:443")]
    public async Task The_description_tells_where_grpc_is(string configured, string? expected)
    {
        await using var registry = new RegistryApp { Settings = { ["Registry:PublicGrpcEndpoint"] = configured } };
        await registry.InitializeAsync();
        using var response = await registry.SendAsync(HttpMethod.Get, "/registry/v1");
        var told = (await RegistryApp.JsonAsync(response)).GetProperty("grpc").GetString();
        Assert.Equal(expected ?? $"http://{registry.Grpc.Target}", told);
    }

    [Theory]
    [InlineData("http://127.0.0.1:9293", "http://127.0.0.1:9293/")]
    [InlineData("http://0.0.0.0:9293", "http://registry.example:9293/")]
    [InlineData("http://[::]:9293", "http://registry.example:9293/")]
    public void Grpc_on_every_address_is_where_the_caller_reached_the_server(string listens, string expected) =>
        Assert.Equal(
            expected,
            DescriptionEndpoint.Callable(new Uri(listens), new HostString("registry.example", 9292)).AbsoluteUri);
}
