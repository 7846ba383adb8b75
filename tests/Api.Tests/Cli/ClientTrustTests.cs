using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A server that answers what no server should: the command line does not take the user's token elsewhere, nor write where
/// it was not told to, nor let the server speak to the terminal.</summary>
public sealed class ClientTrustTests(RegistryApp app) : IClassFixture<RegistryApp>, IDisposable
{
    private const string Id = "11111111-2222-4333-8444-555555555555";
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("http://images.example:9293", "which is another host")]
    [InlineData("https://images.example:9293", "which is another host")]
    public async Task A_token_does_not_follow_grpc_to_another_host(string grpc, string reason)
    {
        await using var server = new LyingServer(_ => (200, $$"""{"grpc":"{{grpc}}"}"""));
        var result = await RegistryCommandLine.RunAsync("show", Id, "--url", server.Url, "--token", "secret");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(reason, result.Error, StringComparison.Ordinal);
        Assert.Contains("--grpc-url " + grpc, result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", string.Join('\n', server.Tokens), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("https://images.example", "http://images.example:9293", "no TLS")]
    [InlineData("https://127.0.0.1", "http://localhost:9293", "no TLS")]
    [InlineData("https://images.example", "https://images.example.evil.example", "another host")]
    [InlineData("https://images.example", "https://images.example:9293", null)]
    [InlineData("http://images.example", "https://images.example", null)]
    [InlineData("http://localhost:9292", "http://127.0.0.1:9293", null)]
    [InlineData("http://IMAGES.example", "http://images.example", null)]
    public void Only_the_same_host_with_no_less_protection_is_given_the_token(string named, string other, string? reason)
    {
        void Ask() => Api.Cli.NamedServer.RequireSame(new Uri(named), new Uri(other), "gRPC", "");
        if (reason is null)
        {
            Ask();
        }
        else
        {
            Assert.Contains(reason, Assert.Throws<Api.Cli.CommandException>(Ask).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task The_user_says_where_grpc_is()
    {
        await using var server = new LyingServer(_ => (200, """{"grpc":"http://images.example:9293"}"""));
        var id = await app.CreateAsync();
        var result = await RegistryCommandLine.RunAsync(
            "show", id, "--url", server.Url, "--token", "secret", "--grpc-url", $"http://{app.Grpc.Target}");
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Empty(server.Tokens);
    }

    [Theory]
    [InlineData("../../../../escaped", "0123abcd", "which is no UUID")]
    [InlineData("/tmp/escaped", "0123abcd", "which is no UUID")]
    [InlineData("", "0123abcd", "which is no UUID")]
    [InlineData(Id, "../../escaped", "which is not hexadecimal")]
    [InlineData(Id, "0123/../../escaped", "which is not hexadecimal")]
    public async Task What_becomes_part_of_a_path_is_what_it_should_be(string id, string digest, string reason)
    {
        await using var server = new LyingServer(_ => (200, $$"""
            {"images":[{"id":"{{id}}","name":"debian","os_hash_value":"{{digest}}"}],"id":"{{id}}","name":"debian"}
            """));
        var result = await RegistryCommandLine.RunAsync(
            "provision", "debian", "--thin", "--cache", _directory.File("cache"), "--to", _directory.File("disk"), "--url", server.Url);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(reason, result.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_directory.Path));
    }

    [Fact]
    public async Task A_redirection_does_not_take_the_token_along()
    {
        await using var thief = new LyingServer(_ => (200, "{}"));
        await using var server = new LyingServer(
            path => path.Contains("/extents", StringComparison.Ordinal)
                ? (302, thief.Url + "/extents")
                : (200, $$"""{"id":"{{Id}}","name":"debian","os_hash_value":"0123"}"""));
        var result = await RegistryCommandLine.RunAsync(
            "provision", Id, "--to", _directory.File("disk"), "--url", server.Url, "--token", "secret", "--retry", "0");
        Assert.Equal(1, result.ExitCode);
        Assert.Empty(thief.Tokens);
        Assert.Contains("secret", server.Tokens);
    }

    [Fact]
    public async Task A_next_page_on_another_host_is_not_asked_for()
    {
        await using var server = new LyingServer(
            _ => (200, """{"images":[],"next":"http://images.example/v2/images?marker=a"}"""));
        using var api = new Api.Cli.ImageApi(server.Url, "secret");
        var refused = await Assert.ThrowsAsync<Api.Cli.CommandException>(async () =>
        {
            await foreach (var _ in api.ListAsync("/v2/images", "images", RegistryApp.Stop))
            {
            }
        });
        Assert.Contains("another host", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("images")]
    [InlineData("show ID")]
    [InlineData("provision NAME --to FILE")]
    public async Task What_a_server_says_does_nothing_to_the_terminal(string line)
    {
        const string name = "debian\u001b[2J\u009b31m\nstatus            active\r\u202e";
        var quoted = JsonSerializer.Serialize(name);
        var id = await app.CreateAsync(name: quoted[1..^1], extra: $", \"note\": {quoted}");
        var words = line.Split(' ').Select(
            word => word.Replace("ID", id, StringComparison.Ordinal).Replace("NAME", name, StringComparison.Ordinal)
                .Replace("FILE", _directory.File("disk"), StringComparison.Ordinal));
        var result = await RegistryCommandLine.RunAsync([.. words, "--url", app.Url.ToString()]);
        var said = result.Output + result.Error;
        Assert.DoesNotContain(said, letter => (char.IsControl(letter) && letter != '\n') || letter == '\u202e');
        Assert.DoesNotContain(said.Split('\n'), said => said.StartsWith("status            active", StringComparison.Ordinal));
    }

    /// <summary>Answers every request as it is told.</summary>
    private sealed class LyingServer : IAsyncDisposable
    {
        private readonly HttpListener _listener = new();
        private readonly ConcurrentQueue<string> _tokens = [];
        private readonly Func<string, (int Status, string Text)> _answer;
        private readonly Task _serving;

        public LyingServer(Func<string, (int Status, string Text)> answer)
        {
            _answer = answer;
            Url = $"http://127.0.0.1:{Ports.Free()}";
            _listener.Prefixes.Add(Url + "/");
            _listener.Start();
            _serving = ServeAsync();
        }

        public string Url { get; }

        /// <summary>Tokens that came with requests.</summary>
        public IReadOnlyCollection<string> Tokens => _tokens;

        public async ValueTask DisposeAsync()
        {
            _listener.Close();
            await _serving;
        }

        private async Task ServeAsync()
        {
            while (_listener.IsListening)
            {
                try
                {
                    var context = await _listener.GetContextAsync();
                    if (context.Request.Headers["X-Auth-Token"] is { } token)
                    {
                        _tokens.Enqueue(token);
                    }

                    var (status, text) = _answer(context.Request.RawUrl!);
                    context.Response.StatusCode = status;
                    if (status == 302)
                    {
                        context.Response.RedirectLocation = text;
                    }
                    else
                    {
                        context.Response.ContentType = "application/json";
                        await context.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes(text));
                    }

                    context.Response.Close();
                }
                catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
                {
                    return;
                }
            }
        }
    }
}
