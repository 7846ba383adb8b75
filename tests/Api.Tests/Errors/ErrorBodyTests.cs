using Registry.Api.Errors;
using Registry.Storage.Domain;

namespace Registry.Api.Tests.Errors;

public sealed class ErrorBodyTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private const string Unknown = "/v2/images/00000000-0000-4000-8000-000000000000";

    [Fact]
    public async Task Html_is_for_who_accepts_anything()
    {
        using var response = await app.SendAsync(HttpMethod.Get, Unknown, accept: "*/*");
        Assert.Equal("text/html", response.Content.Headers.ContentType!.MediaType);
        var body = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.Contains("<title>404 Not Found</title>", body, StringComparison.Ordinal);
        Assert.Contains("<h1>404 Not Found</h1>", body, StringComparison.Ordinal);
        Assert.Contains("No image found with ID", body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Json_is_for_who_accepts_json_only()
    {
        using var response = await app.SendAsync(HttpMethod.Get, Unknown);
        var body = await RegistryApp.JsonAsync(response);
        Assert.Equal("404 Not Found", body.GetProperty("code").GetString());
        Assert.Equal("Not Found", body.GetProperty("title").GetString());
        Assert.EndsWith("<br /><br />\n\n\n", body.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal("not_found", body.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Plain_text_is_for_who_says_nothing()
    {
        using var silent = new HttpClient { BaseAddress = app.Url };
        using var response = await silent.GetAsync(new Uri(Unknown, UriKind.Relative), RegistryApp.Stop);
        Assert.Equal("text/plain", response.Content.Headers.ContentType!.MediaType);
        Assert.StartsWith(
            "404 Not Found\n\n", await response.Content.ReadAsStringAsync(RegistryApp.Stop), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("HEAD", Unknown, 405)]
    [InlineData("HEAD", Unknown + "/file", 405)]
    [InlineData("POST", Unknown, 405)]
    [InlineData("GET", "/v2/nothing", 404)]
    [InlineData("GET", "/v2/images/", 404)]
    [InlineData("DELETE", "/v2/images/", 404)]
    [InlineData("GET", "/v2/schemas/image/", 404)]
    [InlineData("BREW", "/v2/nothing", 501)]
    [InlineData("BREW", "/v2/images", 405)]
    public async Task A_request_that_no_route_takes_is_answered_with(string method, string path, int status)
    {
        using var response = await app.SendAsync(new HttpMethod(method), path);
        Assert.Equal(status, (int)response.StatusCode);
        if (status == 405)
        {
            Assert.NotEmpty(response.Content.Headers.Allow);
        }
    }

    [Theory]
    [InlineData("GET", Unknown)]
    [InlineData("DELETE", Unknown)]
    [InlineData("GET", "/v2/schemas/image")]
    public async Task A_body_where_none_is_expected_is_refused(string method, string path)
    {
        using var response = await app.SendAsync(new HttpMethod(method), path, "{}");
        Assert.Equal(400, (int)response.StatusCode);
    }

    [Fact]
    public void Every_code_has_an_entry_and_every_entry_its_own_name()
    {
        Assert.Equal(Enum.GetValues<ErrorCode>().Order(), ErrorCatalog.Codes.Order());
        Assert.Equal(
            ErrorCatalog.Codes.Count(), ErrorCatalog.Codes.Select(c => ErrorCatalog.Entry(c).Name).Distinct().Count());
    }

    [Fact]
    public async Task A_request_id_is_adopted_and_one_that_is_too_long_refused()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v2/images");
        request.Headers.Add("X-Openstack-Request-ID", "abc-1");
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        Assert.Equal("req-abc-1", Assert.Single(response.Headers.GetValues("X-Openstack-Request-ID")));

        using var tooLong = new HttpRequestMessage(HttpMethod.Get, "/v2/images");
        tooLong.Headers.Add("X-Openstack-Request-ID", new string('a', 65));
        using var refused = await app.Http.SendAsync(tooLong, RegistryApp.Stop);
        Assert.Equal(431, (int)refused.StatusCode);
    }
}
