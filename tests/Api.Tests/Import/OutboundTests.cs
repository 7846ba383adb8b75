using System.Net;
using System.Text.RegularExpressions;
using Registry.Api.Outbound;

namespace Registry.Api.Tests.Import;

/// <summary>What the server does not connect to for users, however it is spelt. Only 127.0.0.2 is allowed; a canary listens
/// on 127.0.0.1 and ::1.</summary>
public sealed partial class OutboundTests : ImportLab
{
    private const string Refusal = "The address to download from is not allowed.";

    public OutboundTests()
        : base(("Registry:Outbound:AllowedNetworks", "127.0.0.2/32"))
    {
    }

    public static TheoryData<string> Spellings =>
    [
        "http://127.0.0.1:PORT/", "http://2130706433:PORT/", "http://0x7f000001:PORT/", "http://0177.0.0.1:PORT/",
        "http://127.1:PORT/", "http://0:PORT/", "http://0.0.0.0:PORT/", "http://[::1]:PORT/", "http://[::]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://[64:ff9b::7f00:1]:PORT/",
        "http://[::127.0.0.1]:PORT/", "http://[2002:7f00:1::]:PORT/", "http://localhost:PORT/",
        "http://localhost.:PORT/", "http://LOCALHOST:PORT/", "http://１２７.０.０.１:PORT/", "http://127.0.0.1.:PORT/",
        "http://a@127.0.0.1:PORT/", "http://127.0.0.1:PORT#@ok.example/", "http://127.0.0.1:PORT\\@ok.example/",
        "http:\\\\127.0.0.1:PORT/", "//127.0.0.1:PORT/", "http://127.0.0.1:PORT/\r\nX: y",
        "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fe80::1%25lo]:PORT/",
        "file:///etc/passwd", "ftp://127.0.0.1:PORT/", "gopher://127.0.0.1:PORT/", "http://127%2e0%2e0%2e1:PORT/",
    ];

    [Theory]
    [MemberData(nameof(Spellings))]
    public async Task No_spelling_of_a_private_address_is_connected_to(string spelling)
    {
        await using var canary = new WebSource();
        await using var canary6 = new WebSource(IPAddress.IPv6Loopback, canary.Port);
        canary.Serve([1]);
        canary6.Serve([1]);
        Assert.Equal(Refusal, await RefusalOfAsync(spelling.Replace("PORT", $"{canary.Port}", StringComparison.Ordinal)));
        Assert.Equal((0, 0), (canary.Connections, canary6.Connections));
    }

    [Theory]
    [InlineData(301)]
    [InlineData(302)]
    [InlineData(303)]
    [InlineData(307)]
    [InlineData(308)]
    public async Task No_redirect_leads_there_either(int status)
    {
        await using var canary = new WebSource();
        await using var source = new WebSource(IPAddress.Parse("127.0.0.2"));
        foreach (var target in new[]
        {
            $"http://127.0.0.1:{canary.Port}/", $"http://localhost:{canary.Port}/", $"http://0x7f000001:{canary.Port}/",
            $"//127.0.0.1:{canary.Port}/", "file:///etc/passwd", $"ftp://127.0.0.1:{canary.Port}/",
        })
        {
            source.Redirect(status, target);
            Assert.Equal(Refusal, await RefusalOfAsync(source.Url));
        }

        Assert.Equal(0, canary.Connections);
        Assert.Equal(6, source.Connections);
    }

    [Fact]
    public async Task A_redirect_to_what_is_allowed_is_followed_but_not_for_ever()
    {
        await using var source = new WebSource(IPAddress.Parse("127.0.0.2"));
        await using var target = new WebSource(IPAddress.Parse("127.0.0.2"));
        target.Serve(Bytes(50_000));
        source.Redirect(302, target.Url);
        var id = await App.CreateAsync();
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        Assert.Equal(Bytes(50_000), await ContentAsync(id));

        source.Redirect(302, source.Url);
        Assert.Equal("The download is redirected more than 5 times.", await RefusalOfAsync(source.Url));
    }

    [Theory]
    [InlineData("8.8.8.8", true)]
    [InlineData("100.63.255.255", true)]
    [InlineData("100.64.0.1", false)]
    [InlineData("172.15.0.1", true)]
    [InlineData("172.31.255.255", false)]
    [InlineData("192.168.1.1", false)]
    [InlineData("198.19.0.1", false)]
    [InlineData("224.0.0.1", false)]
    [InlineData("255.255.255.255", false)]
    [InlineData("2606:4700::1111", true)]
    [InlineData("64:ff9b::808:808", true)]
    [InlineData("64:ff9b::a00:1", false)]
    [InlineData("64:ff9b:1::808:808", false)]
    [InlineData("::ffff:8.8.8.8", true)]
    [InlineData("::ffff:10.0.0.1", false)]
    [InlineData("2002:808:808::", false)]
    [InlineData("2001:0:4136:e378:8000:63bf:3fff:fdd2", false)]
    [InlineData("2001:db8::1", false)]
    [InlineData("fc00::1", false)]
    [InlineData("fe80::1", false)]
    [InlineData("ff02::1", false)]
    [InlineData("::1", false)]
    [InlineData("::", false)]
    public void Only_public_addresses_are_allowed(string address, bool isAllowed) =>
        Assert.Equal(isAllowed, new AddressPolicy([]).Allows(IPAddress.Parse(address)));

    [Fact]
    public void Lists_decide_as_Glances_do()
    {
        var policy = new AddressPolicy([]);
        var listed = new UrlPolicy(
            new OutboundSection { AllowedHosts = "ok.example", DeniedHosts = "ok.example", AllowedSchemes = "https" }, policy);
        Assert.Equal("https://ok.example/a", listed.Read("https://OK.example./a".Replace("OK", "ok")).AbsoluteUri.Replace("./", "/"));
        foreach (var url in new[] { "http://ok.example/", "https://other.example/", "https://ok.example:444/" })
        {
            Assert.Throws<Storage.Domain.RegistryException>(() => listed.Read(url));
        }

        var denied = new UrlPolicy(
            new OutboundSection { DeniedHosts = "bad.example", AllowedPorts = "", DeniedPorts = "25" }, policy);
        Assert.Equal(8080, denied.Read("http://other.example:8080/").Port);
        Assert.Throws<Storage.Domain.RegistryException>(() => denied.Read("http://BAD.example/"));
        Assert.Throws<Storage.Domain.RegistryException>(() => denied.Read("http://other.example:25/"));
        Assert.Throws<Storage.Domain.RegistryException>(
            () => denied.Follow(new Uri("https://other.example/"), new Uri("http://other.example/")));
    }

    // At once where the URL itself says so, by the task where only its name or a redirect does: with the same words.
    private async Task<string> RefusalOfAsync(string url)
    {
        var id = await App.CreateAsync();
        using var response = await App.SendAsync(
            HttpMethod.Post, $"/v2/images/{id}/import",
            $$$"""{"method":{"name":"web-download","uri":{{{System.Text.Json.JsonSerializer.Serialize(url)}}}}}""");
        if ((int)response.StatusCode == 202)
        {
            return await FailAsync(id);
        }

        Assert.Equal(400, (int)response.StatusCode);
        var message = (await RegistryApp.JsonAsync(response)).GetProperty("message").GetString()!;
        return Break().Replace(message, "");
    }

    [GeneratedRegex(@"<br /><br />\n*")]
    private static partial Regex Break();
}
