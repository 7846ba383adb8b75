using System.Diagnostics;
using Registry.Support;

namespace Registry.Api.Tests;

/// <summary>What a start requires of the machine, and says in one line where it is missing.</summary>
public sealed class StartLimitsTests
{
    [Fact]
    public void A_limit_on_open_files_that_is_enough_is_accepted() =>
        Assert.Equal(FileLimit.Minimum, FileLimit.Require(FileLimit.Minimum));

    [Theory]
    [InlineData(100)]
    [InlineData(256)]
    public async Task A_limit_on_open_files_that_is_too_low_is_one_line(int limit)
    {
        using var directory = new TempDirectory();
        var result = await ServeAsync(directory.Path, $"ulimit -n {limit}; ");
        Assert.Equal(1, result.ExitCode);
        var line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith($"registry: the limit on open files is {limit}, ", line, StringComparison.Ordinal);
        Assert.Contains("ulimit -n 512", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_directory_that_another_process_has_is_waited_for_and_then_named()
    {
        using var directory = new TempDirectory();
        using var held = DataDirectory.Take(directory.Path, 0);
        var elapsed = Stopwatch.StartNew();
        var result = await ServeAsync(directory.Path);
        Assert.Equal(1, result.ExitCode);
        Assert.InRange(elapsed.Elapsed, TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(60));
        Assert.Contains($"registry: The data directory '{directory.Path}' cannot be used", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_directory_that_its_last_process_is_just_leaving_is_taken()
    {
        using var directory = new TempDirectory();
        var held = DataDirectory.Take(directory.Path, 0);
        var taking = Task.Run(() => DataDirectory.Take(directory.Path, 0), RegistryApp.Stop);
        await Task.Delay(TimeSpan.FromSeconds(1), RegistryApp.Stop);
        Assert.False(taking.IsCompleted);
        held.Dispose();
        (await taking).Dispose();
    }

    private static Task<ToolResult> ServeAsync(string directory, string before = "") =>
        ExternalTool.Require("bash").RunAsync(
            ["-c", $"{before}exec \"$0\" serve", RegistryProcess.Executable],
            RegistryApp.Stop,
            new Dictionary<string, string?>
            {
                ["Registry__DataDirectory"] = directory,
                ["Registry__Endpoints__Http"] = "http://127.0.0.1:0",
                ["Registry__Endpoints__Grpc"] = "http://127.0.0.1:0",
                ["Registry__Endpoints__Metrics"] = "http://127.0.0.1:0",
            },
            TimeSpan.FromMinutes(2));
}
