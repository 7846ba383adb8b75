using System.Text;
using Google.Protobuf;
using Registry.Api.Cli;
using Registry.Api.Tests.Import;
using Registry.Protos.V1;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>How verbs get on with a registry that is away for a moment.</summary>
public sealed class ConnectionTests
{
    [Fact]
    public async Task What_only_asks_is_asked_again_when_nobody_answers_for_a_moment()
    {
        var port = Ports.Free();
        await using var gate = new TcpGate(new Uri($"http://127.0.0.1:{port}"));
        await using var app = new RegistryApp
        {
            Settings =
            {
                ["Registry:Endpoints:Grpc"] = $"http://127.0.0.1:{port}",
                ["Registry:PublicGrpcEndpoint"] = gate.Address.ToString(),
            },
        };
        await app.InitializeAsync();
        var id = await app.CreateAsync();
        gate.Down();
        var shown = RegistryCommandLine.RunAsync("show", id, "--url", app.Url.ToString(), "--output", "json");
        await Task.Delay(TimeSpan.FromMilliseconds(300), RegistryApp.Stop);
        Assert.False(shown.IsCompleted);
        gate.Up();
        var result = await shown;
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains(id, result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_registry_that_is_busy_for_a_moment_is_asked_again()
    {
        const string answer = """{"id": "b6c6c7a0-3a55-4a8e-9d0c-1f2f3a4b5c6d", "os_hash_value": "abc"}""";
        var asked = 0;
        await using var busy = new WebSource
        {
            Answer = (_, stream) => stream.WriteAsync(Encoding.ASCII.GetBytes(
                Interlocked.Increment(ref asked) == 1
                    ? "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    : $"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {answer.Length}\r\n" +
                        $"Connection: close\r\n\r\n{answer}")).AsTask(),
        };
        using var api = new ImageApi($"http://127.0.0.1:{busy.Port}", token: null);
        Assert.Equal(
            ("b6c6c7a0-3a55-4a8e-9d0c-1f2f3a4b5c6d", "abc"),
            await api.FindDigestAsync("b6c6c7a0-3a55-4a8e-9d0c-1f2f3a4b5c6d", RegistryApp.Stop));
        Assert.Equal(2, asked);
    }

    [Fact]
    public async Task Nobody_who_answers_is_one_line()
    {
        var result = await RegistryCommandLine.RunAsync(
            "provision", "any", "--to", "/nowhere/disk", "--url", $"http://127.0.0.1:{Ports.Free()}");
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("registry: no registry answers at http://127.0.0.1:", result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task A_disk_that_does_not_come_can_be_given_up()
    {
        var given = new TaskCompletionSource();
        await using var silent = new WebSource
        {
            Answer = async (_, stream) =>
            {
                await stream.WriteAsync("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"u8.ToArray());
                new DiskResponse { Start = new DiskStart { Size = 5 } }.WriteDelimitedTo(stream);
                await given.Task;
            },
        };
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(RegistryApp.Stop);
        using var feed = new RegistryFeed($"http://127.0.0.1:{silent.Port}", token: null);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var message in feed.ReadAsync(new ReadDiskRequest(), stop.Token))
            {
                Assert.Equal(5, message.Start.Size);
                stop.CancelAfter(TimeSpan.FromMilliseconds(200));
            }
        });
        given.SetResult();
    }
}
