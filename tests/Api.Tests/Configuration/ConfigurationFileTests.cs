using Registry.Support;

namespace Registry.Api.Tests.Configuration;

/// <summary>Starts with configuration files that cannot be what their author meant.</summary>
public sealed class ConfigurationFileTests
{
    [Theory]
    [InlineData("""{"Registry":{"Outbound":{"DeniedHosts":["127.0.0.1"]}}}""", "Registry:Outbound:DeniedHosts is a list")]
    [InlineData("""{"Registry":{"Imports":{}}}""", "Registry:Imports is not a setting; the nearest is Registry:Import.")]
    [InlineData("""{"Registry":"x"}""", "Registry in '{0}' is a text; it must be a section.")]
    [InlineData("""{"DataDirectory":"x"}""", "DataDirectory in '{0}' is not a setting; settings are within the section Registry.")]
    [InlineData("""{"Kestrel":{"Endpoints":{"A":{"Url":"http://0.0.0.0:1"}}}}""", "Kestrel in '{0}' is not a setting")]
    [InlineData("[1]", "The configuration file '{0}' cannot be read: ")]
    [InlineData("""{"Registry":{""", "The configuration file '{0}' cannot be read: ")]
    [InlineData("""{"Registry":{"PublicEndpoint":"a","publicendpoint":"b"}}""", "The configuration file '{0}' cannot be read: ")]
    public async Task A_file_that_cannot_be_meant_is_one_line(string json, string line)
    {
        using var directory = new TempDirectory();
        var file = directory.File("settings.json");
        await File.WriteAllTextAsync(file, json, RegistryApp.Stop);
        var result = await ExternalTool.At(RegistryProcess.Executable).RunAsync(
            ["serve", "--config", file], RegistryApp.Stop,
            new Dictionary<string, string?> { ["Registry__DataDirectory"] = directory.File("data") });
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith(
            "registry: " + line.Replace("{0}", file, StringComparison.Ordinal),
            Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
        Assert.False(Directory.Exists(directory.File("data")));
    }
}
