using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Limits;

/// <summary>What clients send cannot write lines of the log, nor colour them, and secrets do not get there at
/// all.</summary>
public sealed class LogTests
{
    private const string Canary = "canary-7c1f";

    private static readonly string[] Attacks =
        ["\r\n{\"forged\":true}", "\u001b[31mred", "\"}, {\"forged\":true", "\u2028\u0085", "%0d%0aforged"];

    [Fact]
    public async Task Every_line_is_json_whatever_clients_send()
    {
        using var directory = new TempDirectory();
        await using var registry = await RegistryProcess.StartAsync(
            directory.Path, RegistryApp.Stop, new Dictionary<string, string> { ["Logging__LogLevel__Default"] = "Trace" });
        var url = registry.Url;
        foreach (var attack in Attacks)
        {
            using (var named = new StringContent(
                JsonSerializer.Serialize(new { name = attack, owner = attack, tags = new[] { attack } }),
                Encoding.UTF8, "application/json"))
            {
                using var created = await registry.Client.PostAsync("/v2/images", named, RegistryApp.Stop);
                Assert.Equal(201, (int)created.StatusCode);
            }

            var escaped = Uri.EscapeDataString(attack);
            using var shown = await registry.Client.GetAsync($"/v2/images/{escaped}?name={escaped}", RegistryApp.Stop);
            Assert.Equal(404, (int)shown.StatusCode);
            await SendAsync(url, $"GET /v2/images/x HTTP/1.1\r\nHost: localhost\r\nX-OpenStack-Request-ID: {attack}\r\n" +
                $"X-Auth-Token: {Canary}\r\nConnection: close\r\n\r\n");
        }

        await registry.StopAsync();
        var lines = registry.Log.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.NotEmpty(lines);
        foreach (var line in lines)
        {
            using var entry = JsonDocument.Parse(line);
            Assert.Equal(JsonValueKind.Object, entry.RootElement.ValueKind);
            Assert.False(entry.RootElement.TryGetProperty("forged", out _));
            Assert.DoesNotContain(line, character => char.IsControl(character));
        }

        Assert.Contains(lines, line => line.Contains("forged", StringComparison.Ordinal)); // it was logged, as text
        Assert.DoesNotContain(Canary, registry.Log, StringComparison.Ordinal);
        Assert.DoesNotContain(directory.Path, registry.Log, StringComparison.Ordinal);
    }

    private static async Task SendAsync(Uri url, string request)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(url.Host, url.Port, RegistryApp.Stop);
        var stream = socket.GetStream();
        try
        {
            await stream.WriteAsync(Encoding.UTF8.GetBytes(request), RegistryApp.Stop);
            await stream.CopyToAsync(Stream.Null, RegistryApp.Stop);
        }
        catch (IOException)
        {
            // It was refused and closed while bytes of ours were under way.
        }
    }
}
