using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Auth;

/// <summary>Identity headers, which must be unambiguous, and what refusals disclose of the identity service.</summary>
public sealed class IdentityTests
{
    private static readonly (string Name, string Value)[] Doubles =
    [
        ("X-Roles", "admin"), ("x-roles", "admin"), ("X-ROLES", ""), ("X-Roles", "member,reader"), ("X-Project-Id", "other"),
        ("x-project-id", "owner-project"), ("X-User-Id", "other"), ("X-Identity-Status", "Confirmed"),
        ("X-Identity-Status", "Invalid"),
    ];

    private static readonly (string Name, string Value)[] Ambiguous =
    [
        ("X-Project-Id", "owner-project,other"), ("X-User-Id", "a, b"), ("X-Tenant-Id", "other"), ("X-Domain-Id", "a,b"),
        ("OpenStack-System-Scope", "all,all"), ("X-User-Domain-Id", "a,b"), ("X-Is-Admin-Project", "True,False"),
    ];

    [Fact]
    public async Task An_identity_header_that_comes_twice_is_refused()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        Assert.Equal(200, await lab.StatusAsync(ProxyApp.Identity("owner-project"), "GET", "/v2/images"));
        foreach (var (name, value) in Doubles)
        {
            // On a line of its own, as a client sends it that gets past a proxy which adds its own.
            var caller = ProxyApp.Identity("owner-project");
            Assert.Equal(400, await RawAsync(lab.App.Url, caller, $"{name}: {value}"));
            if (name.Equals("X-Roles", StringComparison.OrdinalIgnoreCase))
            {
                continue; // a client of gRPC joins them, and roles are a list
            }

            caller.Add(name.ToLowerInvariant(), value);
            var refused = await Assert.ThrowsAsync<RpcException>(
                () => new Protos.V1.Images.ImagesClient(lab.App.Grpc).ListAsync(
                    new ListImagesRequest(), caller, cancellationToken: RegistryApp.Stop).ResponseAsync);
            Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        }
    }

    [Fact]
    public async Task An_identity_header_with_several_values_is_refused()
    {
        await using var lab = await ProxyApp.StartAsync("{}");
        foreach (var (name, value) in Ambiguous)
        {
            var caller = ProxyApp.Identity("owner-project");
            if (caller.Get(name.ToLowerInvariant()) is { } known)
            {
                caller.Remove(known);
            }

            caller.Add(name.ToLowerInvariant(), value);
            Assert.Equal(400, await lab.StatusAsync(caller, "GET", "/v2/images"));
        }
    }

    [Theory]
    [InlineData("keystone", null, "Keystone")]
    [InlineData("keystone", "https://identity.example:5000", "Keystone uri=\"https://identity.example:5000\"")]
    [InlineData("proxy", null, "")]
    [InlineData("proxy", "https://identity.example:5000", "Keystone uri=\"https://identity.example:5000\"")]
    public async Task A_refusal_names_the_public_address_of_the_identity_service_only(
        string kind, string? publicUrl, string expected)
    {
        var settings = new Dictionary<string, string?>
        {
            ["Registry:Auth:Kind"] = kind,
            ["Registry:Auth:Keystone:Url"] = "http://service:secret@127.0.0.1:1/v3",
            ["Registry:Auth:Keystone:Username"] = "registry",
            ["Registry:Auth:Keystone:Password"] = "secret",
        };
        if (publicUrl is not null)
        {
            settings["Registry:Auth:Keystone:PublicUrl"] = publicUrl;
        }

        await using var app = new RegistryApp { Settings = settings };
        await app.InitializeAsync();
        using var response = await app.Http.GetAsync("/v2/images", RegistryApp.Stop);
        Assert.Equal(401, (int)response.StatusCode);
        Assert.Equal(expected, response.Headers.WwwAuthenticate.ToString());
        Assert.DoesNotContain("secret", response + await response.Content.ReadAsStringAsync(RegistryApp.Stop), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("https://user:password@identity.example")]
    [InlineData("identity.example")]
    [InlineData("https://identity.example/\"x")]
    public void A_public_address_with_a_user_or_none_at_all_stops_the_start(string url)
    {
        var options = new RegistryOptions
        {
            Auth = new()
            {
                Kind = "keystone",
                Keystone = new() { Url = "http://127.0.0.1:1", Username = "a", Password = "b", PublicUrl = url },
            },
        };
        Assert.Contains(
            "Registry:Auth:Keystone:PublicUrl", Assert.Throws<ConfigurationException>(options.Validate).Message,
            StringComparison.Ordinal);
    }

    private static async Task<int> RawAsync(Uri url, IEnumerable<Metadata.Entry> headers, string added)
    {
        using var client = new System.Net.Sockets.TcpClient();
        await client.ConnectAsync(url.Host, url.Port, RegistryApp.Stop);
        var stream = client.GetStream();
        var lines = headers.Select(header => $"{header.Key}: {header.Value}").Append(added);
        await stream.WriteAsync(
            System.Text.Encoding.ASCII.GetBytes(
                $"GET /v2/images HTTP/1.1\r\nHost: {url.Authority}\r\nConnection: close\r\n{string.Join("\r\n", lines)}\r\n\r\n"),
            RegistryApp.Stop);
        using var reader = new StreamReader(stream);
        var line = await reader.ReadLineAsync(RegistryApp.Stop);
        return int.Parse(line!.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
