using System.Net.Sockets;
using System.Text;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>A push is retried when the registry is temporarily unavailable.</summary>
public sealed class PushAgainTests
{
    [Fact]
    public async Task A_push_is_sent_again_once_the_registry_has_room()
    {
        await using var app = new RegistryApp
        {
            Settings = { ["Registry:Uploads:ConcurrentMax"] = "1", ["Registry:Uploads:Wait"] = "00:00:00" },
        };
        await app.InitializeAsync();
        using var directory = new TempDirectory();
        var path = directory.File("disk.raw");
        await File.WriteAllBytesAsync(path, new byte[1 << 20], RegistryApp.Stop);
        var other = await app.CreateAsync();
        using var socket = await BeginAsync(app, other);

        var pushing = RegistryCommandLine.RunAsync("push", path, "--name", "again", "--url", app.Url.ToString());
        await Task.Delay(TimeSpan.FromSeconds(1), RegistryApp.Stop);
        Assert.False(pushing.IsCompleted, pushing.IsCompleted ? (await pushing).Error : "");
        await socket.GetStream().WriteAsync(new byte[1], RegistryApp.Stop); // the last byte of the other upload

        var pushed = await pushing;
        Assert.True(pushed.ExitCode == 0, pushed.Error);
        using var listed = await app.SendAsync(HttpMethod.Get, "/v2/images?name=again");
        Assert.Equal("active", (await RegistryApp.JsonAsync(listed)).GetProperty("images")[0].GetProperty("status").GetString());
    }

    // An upload that has the only place: it lacks its last byte.
    private static async Task<TcpClient> BeginAsync(RegistryApp app, string id)
    {
        var socket = new TcpClient();
        await socket.ConnectAsync(app.Url.Host, app.Url.Port, RegistryApp.Stop);
        await socket.GetStream().WriteAsync(
            Encoding.ASCII.GetBytes(
                $"PUT /v2/images/{id}/file HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
                + "Content-Length: 2\r\n\r\nx"),
            RegistryApp.Stop);
        while ((await app.ShowAsync(id)).GetProperty("status").GetString() != "saving")
        {
            await Task.Delay(50, RegistryApp.Stop);
        }

        return socket;
    }
}
