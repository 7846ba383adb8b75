using System.Globalization;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>What <c>registry serve</c> does to the machine it runs on.</summary>
public sealed class ServeTests
{
    [Fact]
    public async Task No_folder_is_watched()
    {
        using var directory = new TempDirectory();
        await using var registry = await RegistryProcess.StartAsync(directory.Path, RegistryApp.Stop);
        var descriptors = $"/proc/{registry.Id.ToString(CultureInfo.InvariantCulture)}/fdinfo";

        var watches = Directory.GetFiles(descriptors)
            .SelectMany(File.ReadAllLines)
            .Where(line => line.StartsWith("inotify ", StringComparison.Ordinal));

        Assert.Empty(watches);
    }
}
