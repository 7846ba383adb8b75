using System.Net.Sockets;
using System.Text;
using Registry.Support;

namespace Registry.Api.Tests.Auth;

/// <summary>The identity service that other tests lean on outlives those that ask it.</summary>
public sealed class ScriptedKeystoneTests
{
    [Fact]
    public async Task Who_is_killed_amid_a_question_keeps_nobody_else_from_an_answer()
    {
        await using var keystone = new ScriptedKeystone();
        var address = new Uri(keystone.Url);
        using var killed = new Socket(SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) };
        await killed.ConnectAsync(address.Host, address.Port, RegistryApp.Stop);
        await killed.SendAsync(
            Encoding.ASCII.GetBytes(
                $"POST {address.AbsolutePath}/v3/auth/tokens HTTP/1.1\r\nHost: {address.Authority}\r\nContent-Length: 100\r\n\r\n{{"),
            RegistryApp.Stop);
        await AskAsync();
        killed.Close(); // with a reset
        await AskAsync();

        async Task AskAsync()
        {
            using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
            using var answer = await http.GetAsync(keystone.Url + "/v3/auth/tokens", RegistryApp.Stop);
            Assert.Equal(401, (int)answer.StatusCode);
        }
    }
}
