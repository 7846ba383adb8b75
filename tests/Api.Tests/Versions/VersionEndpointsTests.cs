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

    [Theory]
    [InlineData("/healthcheck")]
    [InlineData("/livez")]
    [InlineData("/readyz")]
    public async Task Health_is_ok(string path)
    {
        using var response = await app.SendAsync(HttpMethod.Get, path, accept: "text/plain");
        Assert.Equal(200, (int)response.StatusCode);
    }
}
