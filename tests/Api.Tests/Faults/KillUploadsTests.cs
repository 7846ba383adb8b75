using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Faults;

/// <summary>A short run of tests/faults/kill-uploads; the long one is run by hand and by night.</summary>
public sealed class KillUploadsTests
{
    [Fact]
    public async Task Three_kills_amid_uploads_break_no_promise()
    {
        ExternalTool.Require("curl");
        ExternalTool.Require("jq");
        ExternalTool.Require("qemu-img");

        var result = await ExternalTool.Require("bash").RunAsync(
            [RepositoryTree.File("tests", "faults", "kill-uploads"), "--rounds", "3"],
            TestContext.Current.CancellationToken);

        TestContext.Current.TestOutputHelper?.WriteLine(result.Output);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
    }
}
