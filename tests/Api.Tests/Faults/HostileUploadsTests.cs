using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Faults;

/// <summary>A short run of tests/faults/hostile-uploads: a part of the set, the server under strace.</summary>
public sealed class HostileUploadsTests
{
    [Fact]
    public async Task Nothing_that_an_image_names_is_opened_or_connected_to()
    {
        ExternalTool.Require("strace");
        ExternalTool.Require("curl");
        ExternalTool.Require("jq");

        var result = await ExternalTool.Require("bash").RunAsync(
            [RepositoryTree.File("tests", "faults", "hostile-uploads"), "--every", "5"],
            TestContext.Current.CancellationToken);

        TestContext.Current.TestOutputHelper?.WriteLine(result.Output);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
    }
}
