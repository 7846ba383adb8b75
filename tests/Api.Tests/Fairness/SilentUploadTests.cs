using System.Net.Sockets;
using System.Text;
using Grpc.Core;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Fairness;

/// <summary>Uploads that send nothing take nobody's place.</summary>
public sealed class SilentUploadTests : IAsyncLifetime
{
    private const int SilentMax = 16;
    private readonly ProjectsApp _app = new()
    {
        Settings =
        {
            ["Registry:Uploads:ConcurrentMax"] = "2",
            ["Registry:Uploads:ConcurrentMaxPerProject"] = "1",
            ["Registry:Uploads:SilentMax"] = $"{SilentMax}",
            ["Registry:Uploads:FirstByte"] = "00:00:03",
        },
    };

    private readonly List<TcpClient> _silent = [];

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        _silent.ForEach(socket => socket.Dispose());
        await _app.DisposeAsync();
    }

    [Theory]
    [InlineData("file")]
    [InlineData("stage")]
    public async Task Silent_uploads_take_no_slot_are_bounded_and_end_in_time(string kind)
    {
        using var silent = _app.As("silent");
        var waiting = new List<string>();
        for (var i = 0; i < SilentMax / 4; i++)
        {
            waiting.Add(await ProjectsApp.CreateAsync(silent));
            _silent.Add(await OpenAsync("silent", waiting[^1], kind));
        }

        // Others upload, and so does the project itself.
        foreach (var project in (string[])["other", "silent"])
        {
            using var http = _app.As(project);
            await ProjectsApp.UploadAsync(http, new byte[1000]);
        }

        // One more that is silent is refused and asked to come back; of another project it is waited for.
        using var more = await OpenAsync("silent", await ProjectsApp.CreateAsync(silent), kind);
        var refused = await ReadAsync(more);
        Assert.StartsWith("HTTP/1.1 503 ", refused, StringComparison.Ordinal);
        Assert.Contains("Retry-After: ", refused, StringComparison.Ordinal);
        using (var other = _app.As("other"))
        {
            using var begun = await OpenAsync("other", await ProjectsApp.CreateAsync(other), kind);
            await begun.GetStream().WriteAsync(new byte[100], RegistryApp.Stop);
            Assert.StartsWith("HTTP/1.1 204 ", await ReadAsync(begun), StringComparison.Ordinal);
        }

        foreach (var (socket, id) in _silent.Zip(waiting))
        {
            Assert.StartsWith("HTTP/1.1 408 ", await ReadAsync(socket), StringComparison.Ordinal);
            Assert.Equal("queued", await ProjectsApp.StatusAsync(silent, id));
        }

        await ProjectsApp.UploadAsync(silent, new byte[1000]);
    }

    [Fact]
    public async Task An_upload_over_grpc_that_is_silent_ends_in_time()
    {
        using var http = _app.As("silent");
        var id = await ProjectsApp.CreateAsync(http);
        var identity = new Metadata();
        foreach (var (header, value) in Nbd.NbdTicketTests.ProxyApp.Identity("silent", "member"))
        {
            identity.Add(header, value);
        }

        var client = new Protos.V1.Images.ImagesClient(_app.Grpc);
        using var upload = client.Upload(identity, cancellationToken: RegistryApp.Stop);
        await upload.RequestStream.WriteAsync(new UploadRequest { Start = new UploadStart { Id = id } }, RegistryApp.Stop);
        await ProjectsApp.UploadAsync(http, new byte[1000]);
        var late = await Assert.ThrowsAsync<RpcException>(() => upload.ResponseAsync);
        Assert.Equal(StatusCode.DeadlineExceeded, late.StatusCode);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Bytes_that_come_late_but_in_time_are_all_there(int length)
    {
        using var http = _app.As("late");
        var id = await ProjectsApp.CreateAsync(http);
        using var socket = await OpenAsync("late", id, "file", length);
        await Task.Delay(TimeSpan.FromSeconds(1), RegistryApp.Stop);
        await socket.GetStream().WriteAsync(Enumerable.Repeat((byte)5, length).ToArray(), RegistryApp.Stop);
        Assert.StartsWith("HTTP/1.1 204 ", await ReadAsync(socket), StringComparison.Ordinal);
        var content = await http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop);
        Assert.Equal(Enumerable.Repeat((byte)5, length), content);
    }

    private async Task<TcpClient> OpenAsync(string project, string id, string kind, int length = 100)
    {
        var socket = new TcpClient();
        await socket.ConnectAsync("127.0.0.1", _app.Url.Port, RegistryApp.Stop);
        var head = _app.Head(project, $"PUT /v2/images/{id}/{kind}")
            + $"Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n";
        await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head), RegistryApp.Stop);
        return socket;
    }

    private static async Task<string> ReadAsync(TcpClient socket)
    {
        var buffer = new byte[4096];
        var read = await socket.GetStream().ReadAsync(buffer, RegistryApp.Stop);
        return Encoding.ASCII.GetString(buffer, 0, read);
    }
}
