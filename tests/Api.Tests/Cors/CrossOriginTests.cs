namespace Registry.Api.Tests.Cors;

/// <summary>What browsers are told about pages of other origins.</summary>
public sealed class CrossOriginTests
{
    [Fact]
    public async Task Pages_that_the_operator_names_may_call_and_no_others()
    {
        await using var running = await StartAsync(new()
        {
            ["Registry:Auth:Kind"] = "proxy",
            ["Registry:Cors:AllowedOrigins:0"] = "https://console.example",
        });
        using (var preflight = await AskAsync(running.App, HttpMethod.Options, "https://console.example"))
        {
            Assert.Equal(204, (int)preflight.StatusCode);
            Assert.Equal("https://console.example", Header(preflight, "Access-Control-Allow-Origin"));
            Assert.Contains("PATCH", Header(preflight, "Access-Control-Allow-Methods"), StringComparison.Ordinal);
            Assert.Contains("X-Auth-Token", Header(preflight, "Access-Control-Allow-Headers"), StringComparison.Ordinal);
            Assert.Equal("", Header(preflight, "Access-Control-Allow-Credentials"));
        }

        // A refusal too must be readable by the page.
        using (var refused = await AskAsync(running.App, HttpMethod.Get, "https://console.example"))
        {
            Assert.Equal(401, (int)refused.StatusCode);
            Assert.Equal("https://console.example", Header(refused, "Access-Control-Allow-Origin"));
            Assert.Contains(
                "X-OpenStack-Request-ID", Header(refused, "Access-Control-Expose-Headers"), StringComparison.Ordinal);
        }

        foreach (var method in new[] { HttpMethod.Options, HttpMethod.Get })
        {
            using var other = await AskAsync(running.App, method, "https://evil.example");
            Assert.Equal("", Header(other, "Access-Control-Allow-Origin"));
        }
    }

    [Fact]
    public async Task Nobody_may_unless_the_operator_says_so()
    {
        await using var running = await StartAsync([]);
        using var preflight = await AskAsync(running.App, HttpMethod.Options, "https://console.example");
        Assert.Equal("", Header(preflight, "Access-Control-Allow-Origin"));
    }

    [Theory]
    [InlineData("console.example")]
    [InlineData("https://console.example/path")]
    [InlineData("ftp://console.example")]
    [InlineData("https://*")]
    public void What_is_no_origin_stops_the_start(string origin)
    {
        var options = new RegistryOptions { Cors = new() { AllowedOrigins = [origin] } };
        Assert.Contains(
            "Registry:Cors:AllowedOrigins", Assert.Throws<ConfigurationException>(options.Validate).Message,
            StringComparison.Ordinal);
    }

    private static async Task<HttpResponseMessage> AskAsync(RegistryApp app, HttpMethod method, string origin)
    {
        using var request = new HttpRequestMessage(method, "/v2/images");
        request.Headers.Add("Origin", origin);
        if (method == HttpMethod.Options)
        {
            request.Headers.Add("Access-Control-Request-Method", "PATCH");
            request.Headers.Add("Access-Control-Request-Headers", "x-auth-token");
        }

        return await app.Http.SendAsync(request, RegistryApp.Stop);
    }

    private static string Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) ? string.Join(',', values) : "";

    private static async Task<Running> StartAsync(Dictionary<string, string?> settings)
    {
        var app = new RegistryApp { Settings = settings };
        await app.InitializeAsync();
        return new Running(app);
    }

    private sealed record Running(RegistryApp App) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => App.DisposeAsync();
    }
}
