using Registry.Support;

[assembly: AssemblyFixture(typeof(Registry.Containers.Tests.ContainerImages))]

namespace Registry.Containers.Tests;

/// <summary>The images of compose.yaml on this machine: found or made once, by tests/containers/prepare.</summary>
public sealed class ContainerImages
{
    private static readonly TimeSpan PrepareLimit = TimeSpan.FromMinutes(15);
    private readonly Lazy<Task<Dictionary<string, string?>>> _variables = new(PrepareAsync);

    /// <summary>The variables of compose.yaml that name images; empty where its defaults are reached.</summary>
    /// <remarks>Skips the test where no Docker daemon answers, or fails it where nothing may be skipped.</remarks>
    public Task<Dictionary<string, string?>> VariablesAsync() => _variables.Value;

    /// <summary>The image of a variable.</summary>
    /// <param name="variable">Its name in compose.yaml.</param>
    /// <param name="official">The default there.</param>
    public async Task<string> FindAsync(string variable, string official) =>
        (await VariablesAsync()).GetValueOrDefault(variable) ?? official;

    private static async Task<Dictionary<string, string?>> PrepareAsync()
    {
        var docker = ExternalTool.Require("docker");
        var version = await docker.RunAsync(["version", "--format", "{{.Server.APIVersion}}"], CancellationToken.None);
        if (version.ExitCode != 0)
        {
            Assert.False(ExternalTool.IsStrict, $"No Docker daemon answers, and CI=true forbids to skip: {version.Error}");
            Assert.Skip("No Docker daemon answers.");
        }

        // Testcontainers: speak what the daemon speaks, call it on the loopback interface, fetch no helper image.
        Environment.SetEnvironmentVariable("DOCKER_API_VERSION", version.Output.Trim());
        Environment.SetEnvironmentVariable("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1");
        Environment.SetEnvironmentVariable("TESTCONTAINERS_RYUK_DISABLED", "true");

        var prepared = await ExternalTool.Require("bash").RunAsync(
            [RepositoryTree.File("tests", "containers", "prepare")], CancellationToken.None, timeout: PrepareLimit);
        Assert.True(prepared.ExitCode == 0, $"The images were not made: {prepared.Error}");
        return prepared.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Split('=', 2))
            .ToDictionary(pair => pair[0], string? (pair) => pair[1]);
    }
}
