using System.Net.Sockets;
using System.Text;

namespace Registry.Api.Tests.Limits;

/// <summary>Requests that two servers could read in two ways (spec/reliability.md, N4 and N5) get one refusal, and nothing
/// that hides in them is answered.</summary>
public sealed class RawRequestTests(RegistryApp app) : IClassFixture<RegistryApp>
{
    private const string Hidden = "GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n";

    public static TheoryData<string> Requests =>
    [
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nxx\r\n2\r\n{}\r\n0\r\n\r\n" + Hidden,
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n" + Hidden,
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + Hidden,
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2, 40\r\n\r\n{}" + Hidden,
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n" + Hidden,
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + Hidden,
        "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + Hidden,
        "GET /v2/images HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n folded: c\r\n\r\n" + Hidden,
        "GET /v2/images HTTP/1.1\r\nHost: localhost\r\nX-A: b\0c\r\n\r\n" + Hidden,
        "GET /v2/images HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n" + Hidden,
        "GET /v2/images HTTP/1.1\r\n\r\n" + Hidden,
    ];

    [Theory]
    [MemberData(nameof(Requests))]
    public async Task An_ambiguous_request_is_refused_and_ends_the_connection(string request)
    {
        var answer = await SendAsync(request);
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Equal(0, answer.LastIndexOf("HTTP/1.1 ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_length_beside_chunks_counts_for_nothing_and_ends_the_connection()
    {
        var answer = await SendAsync(
            "POST /v2/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
            "2\r\n{}\r\n0\r\n\r\n" + Hidden);
        Assert.Equal(0, answer.LastIndexOf("HTTP/1.1 ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task More_or_longer_headers_than_any_client_sends_are_refused()
    {
        var many = string.Concat(Enumerable.Range(0, 10_000).Select(i => $"X-{i}: y\r\n"));
        var @long = $"X-A: {new string('y', 64 << 10)}\r\n";
        foreach (var headers in new[] { many, @long })
        {
            var answer = await SendAsync($"GET /healthcheck HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
            Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 431", StringComparison.Ordinal), answer);
        }
    }

    // Everything until the server closes; one that keeps the connection open runs into the test's time.
    private async Task<string> SendAsync(string request)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(app.Url.Host, app.Url.Port, RegistryApp.Stop);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(RegistryApp.Stop);
        timeout.CancelAfter(TimeSpan.FromSeconds(30));
        var stream = socket.GetStream();
        var answer = new MemoryStream();
        try
        {
            await stream.WriteAsync(Encoding.Latin1.GetBytes(request), timeout.Token);
            await stream.CopyToAsync(answer, timeout.Token);
        }
        catch (IOException)
        {
            // It was closed with bytes of ours still under way.
        }

        return Encoding.Latin1.GetString(answer.ToArray());
    }
}
