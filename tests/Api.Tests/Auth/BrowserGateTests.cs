using System.Net.Sockets;
using System.Text;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>Where callers are not authenticated, a web page cannot act as the administrator that every caller is.</summary>
public sealed class BrowserGateTests(BrowserGateTests.NamedApp app) : IClassFixture<BrowserGateTests.NamedApp>
{
    private const string Create = """{"name":"of-a-page"}""";

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST", true)]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.1.2.3", true)]
    [InlineData("[::1]", true)]
    [InlineData("images.lab.example", true)]
    [InlineData("public.example", true)]
    [InlineData("evil.example", false)]
    [InlineData("localhost.evil.example", false)]
    [InlineData("evil.images.lab.example", false)]
    [InlineData("127.0.0.1.evil.example", false)]
    [InlineData("10.1.2.3", false)]
    [InlineData("[2001:db8::1]", false)]
    [InlineData("", false)]
    public async Task Only_own_names_are_answered_over_http(string host, bool isOwn)
    {
        foreach (var suffix in host.Length == 0 ? [""] : new[] { "", $":{app.Url.Port}", ":80" })
        {
            Assert.Equal(isOwn ? 200 : 400, await AskAsync("GET /v2/images", $"Host: {host}{suffix}"));
            Assert.Equal(isOwn ? 200 : 400, await AskAsync("GET /registry/v1/jobs", $"Host: {host}{suffix}"));
        }

        Assert.Equal(200, await AskAsync("GET /livez", $"Host: {host}")); // a health check names an address
    }

    [Theory]
    [InlineData("evil.example", false)]
    [InlineData("images.lab.example", true)]
    [InlineData("localhost", true)]
    public async Task Only_own_names_are_answered_over_grpc(string host, bool isOwn)
    {
        using var channel = global::Grpc.Net.Client.GrpcChannel.ForAddress(
            $"http://{app.Grpc.Target}", new() { HttpHandler = new HostHandler($"{host}:9293") });
        var images = new Protos.V1.Images.ImagesClient(channel);
        var call = images.ListAsync(new ListImagesRequest(), cancellationToken: RegistryApp.Stop).ResponseAsync;
        if (isOwn)
        {
            await call;
            return;
        }

        var refused = await Assert.ThrowsAsync<RpcException>(() => call);
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        var detail = ErrorDetail.Parser.ParseFrom(refused.Trailers.GetValueBytes("registry-error-bin"));
        Assert.Equal("host_not_allowed", detail.Reason);
    }

    [Theory]
    [InlineData("https://evil.example", false)]
    [InlineData("http://127.0.0.1", false)] // another port is another origin
    [InlineData("http://localhost:3000", false)]
    [InlineData("null", false)]
    [InlineData("", false)]
    [InlineData("file://", false)]
    [InlineData("http://OWN.evil.example", false)]
    [InlineData("http://OWN", true)]
    [InlineData("https://console.example", true)]
    [InlineData("https://console.example.evil.example", false)]
    public async Task Pages_of_other_origins_are_refused(string origin, bool isAllowed)
    {
        origin = origin.Replace("OWN", app.Url.Authority, StringComparison.Ordinal);
        var host = $"Host: {app.Url.Authority}";
        Assert.Equal(isAllowed ? 200 : 403, await AskAsync("GET /v2/images", host, $"Origin: {origin}"));
        Assert.Equal(
            isAllowed ? 201 : 403, await PostAsync(host, $"Origin: {origin}", "Content-Type: application/json"));
        Assert.Equal(403, await AskAsync("GET /v2/images", host, $"Origin: {origin}", "Origin: https://console.example"));
    }

    [Theory]
    [InlineData("application/json", true)]
    [InlineData("Application/JSON; charset=utf-8", true)]
    [InlineData("text/plain", false)]
    [InlineData("application/x-www-form-urlencoded", false)]
    [InlineData("multipart/form-data; boundary=x", false)]
    [InlineData("text/plain; application/json", false)]
    [InlineData("application/jsonp", false)]
    [InlineData("application/json, text/plain", false)]
    [InlineData(null, false)]
    public async Task A_body_must_say_that_it_is_json(string? mediaType, bool isTaken)
    {
        string[] headers = [$"Host: {app.Url.Authority}", .. mediaType is null ? [] : new[] { $"Content-Type: {mediaType}" }];
        Assert.Equal(isTaken ? 201 : 415, await PostAsync(headers));
        var id = await app.CreateAsync();
        foreach (var (path, body) in new[]
        {
            ($"/v2/images/{id}/members", """{"member":"x"}"""), ("/registry/v1/scrubs", "{}"),
            ("/v2/metadefs/namespaces", $$"""{"namespace":"{{Guid.NewGuid():N}}"}"""), ($"/v2/images/{id}/import", "{}"),
            ("/registry/v1/provisions", "{}"), ($"/registry/v1/images/{id}/copies", "{}"), ("/v2/tasks", "{}"),
            ($"/v2/images/{id}/locations", "{}"),
        })
        {
            Assert.Equal(
                !isTaken, await AskAsync($"POST {path}", [.. headers, $"Content-Length: {body.Length}"], body) == 415);
        }
    }

    [Fact]
    public async Task Where_callers_are_authenticated_names_and_media_types_are_not_looked_at()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        var caller = ProxyApp.Identity("p");
        caller.Add("host", "anything.example");
        caller.Add("origin", "https://console.example");
        using var response = await lab.SendAsync(caller, "POST", "/v2/images", "{}", "text/plain");
        Assert.Equal(201, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("a b")]
    [InlineData("name:9292")]
    [InlineData("http://name")]
    [InlineData("")]
    public void What_is_no_name_stops_the_start(string host)
    {
        var options = new RegistryOptions { Auth = new() { AllowedHosts = [host] } };
        Assert.Contains(
            "Registry:Auth:AllowedHosts", Assert.Throws<ConfigurationException>(options.Validate).Message,
            StringComparison.Ordinal);
    }

    private Task<int> PostAsync(params string[] headers) =>
        AskAsync("POST /v2/images", [.. headers, $"Content-Length: {Create.Length}"], Create);

    private Task<int> AskAsync(string request, params string[] headers) => AskAsync(request, headers, "");

    // By hand: clients do not send such headers.
    private async Task<int> AskAsync(string request, string[] headers, string body)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(app.Url.Host, app.Url.Port, RegistryApp.Stop);
        var stream = client.GetStream();
        await stream.WriteAsync(
            Encoding.ASCII.GetBytes(
                $"{request} HTTP/1.1\r\n{string.Join("\r\n", headers)}\r\nConnection: close\r\n\r\n{body}"),
            RegistryApp.Stop);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        var line = await reader.ReadLineAsync(RegistryApp.Stop);
        return int.Parse(line!.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    private sealed class HostHandler(string host) : DelegatingHandler(new SocketsHttpHandler())
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.Host = host;
            return base.SendAsync(request, cancellationToken);
        }
    }

    /// <summary>A registry with names and an origin of its own.</summary>
    public sealed class NamedApp : RegistryApp
    {
        protected override Task<Dictionary<string, string?>> SettingsAsync() => Task.FromResult(new Dictionary<string, string?>
        {
            ["Registry:Auth:AllowedHosts:0"] = "images.lab.example",
            ["Registry:PublicEndpoint"] = "https://public.example:8443/images",
            ["Registry:Cors:AllowedOrigins:0"] = "https://console.example",
        });
    }
}
