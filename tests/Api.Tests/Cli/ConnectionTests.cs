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
}
