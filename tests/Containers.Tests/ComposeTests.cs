using System.Globalization;
using Registry.Support;

namespace Registry.Containers.Tests;

/// <summary>compose.yaml: two registries, PostgreSQL, S3 and a load balancer, and the README's main job through
/// it.</summary>
public sealed class ComposeTests(ContainerImages images)
{
    private static readonly TimeSpan BuildLimit = TimeSpan.FromMinutes(20);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_one_replica_took_the_other_provisions()
    {
        var compose = ExternalTool.Require("docker-compose");
        var qemu = ExternalTool.Require("qemu-img");
        var port = Ports.Free();
        var variables = new Dictionary<string, string?>(await images.VariablesAsync())
        {
            ["COMPOSE_FILE"] = RepositoryTree.File("compose.yaml"),
            ["COMPOSE_PROJECT_NAME"] = $"registry-tests-{Environment.ProcessId}",
            ["REGISTRY_IMAGE"] = "registry-tests/registry",
            ["REGISTRY_PORT"] = port.ToString(CultureInfo.InvariantCulture),
            ["REGISTRY_GRPC_PORT"] = Ports.Free().ToString(CultureInfo.InvariantCulture),
            ["REGISTRY_URL"] = $"http://127.0.0.1:{port}",
        };
        await BuildAsync(variables);
        try
        {
            await ComposeAsync("up", "-d");
            using var directory = new TempDirectory();
            var disk = directory.File("disk.qcow2");
            await qemu.OutputAsync(Stop, "create", "-q", "-f", "qcow2", disk, "64M");
            await ExternalTool.Require("qemu-io").OutputAsync(Stop, "-c", "write -P 7 5M 3M", "-f", "qcow2", disk);

            await RegistryAsync("push", disk, "--name", "demo");
            await ComposeAsync("stop", await UploaderAsync());
            var instance = directory.File("instance.raw");
            await RegistryAsync("provision", "demo", "--to", instance, "--size", "96M");

            await qemu.OutputAsync(Stop, "resize", "-q", disk, "96M");
            await qemu.OutputAsync(Stop, "compare", "-f", "qcow2", "-F", "raw", disk, instance);
        }
        finally
        {
            await compose.RunAsync(["down", "--volumes", "--timeout", "10"], CancellationToken.None, variables);
        }

        Task<string> ComposeAsync(params string[] arguments) => RunAsync(compose, variables, arguments);

        Task<string> RegistryAsync(params string[] arguments) =>
            RunAsync(ExternalTool.Require(RegistryProcess.Executable), variables, arguments);

        // The replica whose log tells of the upload.
        async Task<string> UploaderAsync()
        {
            foreach (var replica in new[] { "registry1", "registry2" })
            {
                if ((await ComposeAsync("logs", "--no-color", replica)).Contains("upload of", StringComparison.Ordinal))
                {
                    return replica;
                }
            }

            throw new InvalidOperationException("No replica logged the upload.");
        }
    }

    // By docker itself: its build may use this machine's network, where packages are reached.
    private static async Task BuildAsync(Dictionary<string, string?> variables)
    {
        List<string> arguments = ["build", "--network=host", "-q", "-t", variables["REGISTRY_IMAGE"]!];
        foreach (var name in new[] { "SDK_IMAGE", "BASE_IMAGE" })
        {
            if (variables.GetValueOrDefault(name) is { } image)
            {
                arguments.AddRange(["--build-arg", $"{name}={image}"]);
            }
        }

        var built = await ExternalTool.Require("docker").RunAsync(
            [.. arguments, RepositoryTree.Root], Stop, timeout: BuildLimit);
        Assert.True(built.ExitCode == 0, built.Error + built.Output);
    }

    private static async Task<string> RunAsync(
        ExternalTool tool, Dictionary<string, string?> variables, string[] arguments)
    {
        var result = await tool.RunAsync(arguments, Stop, variables);
        Assert.True(result.ExitCode == 0, $"{string.Join(' ', arguments)}: {result.Error}{result.Output}");
        return result.Output;
    }
}
