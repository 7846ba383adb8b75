using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Faults;

/// <summary>A short run of tests/faults/kill-imports; the long one is run by hand and by night.</summary>
public sealed class KillImportsTests
{
    [Fact]
    public async Task Two_kills_of_a_replica_amid_imports_are_made_good_by_the_other()
    {
        Assert.SkipWhen(PostgresServer.FindBinaries() is null, "PostgreSQL is not installed.");
        ExternalTool.Require("curl");
        ExternalTool.Require("jq");
        ExternalTool.Require("qemu-img");

        var result = await ExternalTool.Require("bash").RunAsync(
            [RepositoryTree.File("tests", "faults", "kill-imports"), "--rounds", "2"],
            TestContext.Current.CancellationToken);

        TestContext.Current.TestOutputHelper?.WriteLine(result.Output);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
    }
}
