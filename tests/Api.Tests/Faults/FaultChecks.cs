using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Faults;

/// <summary>On SQLite and a directory.</summary>
public sealed class EmbeddedFaultChecks() : FaultChecks("embedded")
{
    [Fact]
    public async Task A_check_that_says_nothing_of_a_configuration_does_not_pass_there()
    {
        var result = await ExternalTool.Require("bash").RunAsync(
            [RepositoryTree.File("tests", "faults", "lost-commit"), "--on", "embedded"],
            TestContext.Current.CancellationToken);
        Assert.Equal(CannotRun, result.ExitCode);
    }
}

/// <summary>On PostgreSQL and S3.</summary>
public sealed class ProductionFaultChecks() : FaultChecks("production");

/// <summary>A short run of everything below tests/faults; the long one is run by hand and by night. One after the other:
/// each expects answers within seconds.</summary>
[Collection("Fault Checks")]
public abstract class FaultChecks(string configuration)
{
    protected const int CannotRun = 2;
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(20);

    [Fact]
    public async Task No_fault_breaks_a_promise()
    {
        var result = await ExternalTool.Require("bash").RunAsync(
            [RepositoryTree.File("tests", "faults", "all"), "--smoke", "--on", configuration, "--seed", "1"],
            TestContext.Current.CancellationToken,
            timeout: Limit);

        TestContext.Current.TestOutputHelper?.WriteLine(result.Output);
        Assert.SkipWhen(result.ExitCode == CannotRun && !ExternalTool.IsStrict, result.Output);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
    }
}
