using System.Text;

namespace Registry.Api.Tests.Import;

/// <summary>Downloads from servers that fail.</summary>
public sealed class WebDownloadTests : ImportLab
{
    private static readonly byte[] Content = Bytes(3_000_000);

    public WebDownloadTests()
        : base(
            ("Registry:Outbound:Patience", "00:00:01"),
            ("Registry:Outbound:ResumesMax", "2"),
            ("Registry:Limits:ImageSizeCapBytes", "4000000"))
    {
    }

    [Fact]
    public async Task A_download_that_breaks_off_goes_on_where_it_broke()
    {
        await using var source = new WebSource();
        source.Serve(Content, breakAfter: 900_000);
        var id = await App.CreateAsync();
        await DownloadAsync(id, source.Url);
        await SucceedAsync(id);
        Assert.Equal(Content, await ContentAsync(id));
        Assert.Equal(
            ["bytes=900000-", "bytes=1800000-", "bytes=2700000-"],
            source.Requests.Skip(1).Select(head => WebSource.Header(head, "Range")));
    }

    [Fact]
    public async Task What_changes_meanwhile_is_not_mixed()
    {
        await using var source = new WebSource();
        source.Serve(Content, breakAfter: 900_000);
        var first = source.Answer;
        source.Answer = async (head, stream) =>
        {
            await first(head, stream);
            source.Serve(Bytes(3_000_000, seed: 2), tag: "\"two\"");
        };
        Assert.Equal("The download failed: what the address names has changed meanwhile.", await FailureAsync(source));
    }

    [Fact]
    public async Task Without_a_validator_a_broken_download_fails()
    {
        await using var source = new WebSource();
        source.Serve(Content, tag: null, breakAfter: 900_000);
        Assert.Contains("it broke off", await FailureAsync(source), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_says_nothing_more_is_given_up()
    {
        await using var source = new WebSource();
        source.Answer = async (_, stream) =>
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n"));
            await Task.Delay(Timeout.Infinite, RegistryApp.Stop);
        };
        Assert.Equal("The download failed: it broke off at byte 0.", await FailureAsync(source));
    }

    [Fact]
    public async Task A_trickle_is_given_up()
    {
        await using var source = new WebSource();
        source.Answer = async (head, stream) =>
        {
            var from = WebSource.Header(head, "Range")?["bytes=".Length..].TrimEnd('-');
            await stream.WriteAsync(Encoding.ASCII.GetBytes(
                (from is null ? "HTTP/1.1 200 OK\r\n" : $"HTTP/1.1 206 Part\r\nContent-Range: bytes {from}-99998/99999\r\n")
                + $"Content-Length: {99999 - int.Parse(from ?? "0")}\r\nETag: \"a\"\r\n\r\n"));
            while (true)
            {
                await stream.WriteAsync(new byte[1]);
                await Task.Delay(100, RegistryApp.Stop);
            }
        };
        Assert.Equal("The download failed: less than 8192 bytes a second come.", await FailureAsync(source));
    }

    [Fact]
    public async Task What_is_too_long_is_refused_whether_it_says_so_or_not()
    {
        await using var source = new WebSource();
        source.Serve(new byte[4_000_001]);
        Assert.Contains("larger than the maximum", await FailureAsync(source), StringComparison.Ordinal);

        source.Answer = async (_, stream) =>
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
            while (true)
            {
                await stream.WriteAsync(Encoding.ASCII.GetBytes("10000\r\n"));
                await stream.WriteAsync(new byte[0x10000]);
                await stream.WriteAsync(Encoding.ASCII.GetBytes("\r\n"));
            }
        };
        Assert.Contains("larger than the maximum", await FailureAsync(source), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(404)]
    [InlineData(503)]
    public async Task An_answer_without_content_is_told(int status)
    {
        await using var source = new WebSource();
        source.Answer = (_, stream) => stream.WriteAsync(
            Encoding.ASCII.GetBytes($"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).AsTask();
        Assert.Equal($"The download failed: the server answers {status}.", await FailureAsync(source));
        Assert.Equal(status == 404 ? 1 : 3, source.Connections);
    }

    [Fact]
    public async Task Nobody_there_is_told()
    {
        string url;
        await using (var source = new WebSource())
        {
            url = source.Url;
        }

        var id = await App.CreateAsync();
        await DownloadAsync(id, url);
        Assert.Equal("The download failed: the server cannot be reached.", await FailAsync(id));
        Assert.Equal("queued", await StatusAsync(id));
    }

    private async Task<string> FailureAsync(WebSource source)
    {
        var id = await App.CreateAsync();
        await DownloadAsync(id, source.Url);
        var message = await FailAsync(id);
        Assert.Equal("queued", await StatusAsync(id));
        Assert.Equal("", Stored(id));
        return message;
    }
}
