using System.Text.RegularExpressions;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>docs/grow-a-disk.md: its commands, as they stand there, do what it says.</summary>
public sealed partial class GrowADiskTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_page_grows_a_disk_its_partition_and_its_file_system()
    {
        foreach (var tool in new[] { "sgdisk", "mke2fs", "resize2fs", "e2fsck", "debugfs" })
        {
            ExternalTool.Require(tool);
        }

        using var directory = new TempDirectory();
        Directory.CreateDirectory(directory.File("data"));
        await using var server = await RegistryProcess.StartAsync(directory.File("data"), Stop);
        var page = await File.ReadAllTextAsync(RepositoryTree.File("docs", "grow-a-disk.md"), Stop);
        var blocks = Block().Matches(page).Select(match => match.Groups[1].Value).ToList();
        Assert.Equal(6, blocks.Count);
        var script = $$"""
            set -euo pipefail
            cd '{{directory.Path}}'
            PATH=$PATH:/usr/sbin:/sbin
            registry() { '{{RegistryProcess.Executable}}' "$@"; }

            """ + string.Concat(blocks);
        var environment = new Dictionary<string, string?> { ["REGISTRY_URL"] = server.Url.ToString().TrimEnd('/') };
        var result = await ExternalTool.Require("bash").RunAsync(["-c", script], Stop, environment);

        Assert.True(result.ExitCode == 0, result.Output + result.Error);
        Assert.Equal(2, Regex.Count(result.Output, "^it is still there$", RegexOptions.Multiline));
        Assert.Equal(2, Regex.Count(result.Output, "No problems found", RegexOptions.Multiline));
        await ExpectGrownAsync(directory.File("grown.raw"));
        await ExpectGrownAsync(directory.File("instance.raw"));
        await ExternalTool.Require("qemu-img").OutputAsync(Stop, "check", "-q", directory.File("grown.qcow2"));
    }

    /// <summary>The file system ends less than a block before the partition does, and that where the disk does.</summary>
    private static async Task ExpectGrownAsync(string disk)
    {
        Assert.Equal(12L << 30, new FileInfo(disk).Length);
        var header = await ExternalTool.Require("debugfs")
            .OutputAsync(Stop, "-R", "show_super_stats -h", disk + "?offset=1048576");
        var blocks = long.Parse(Blocks().Match(header).Groups[1].Value, null);
        Assert.InRange((12L << 30) - (1 << 20) - (blocks * 4096), 0, 8 * 4096);
    }

    [GeneratedRegex("^```sh\n(.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"^Block count:\s+(\d+)$", RegexOptions.Multiline)]
    private static partial Regex Blocks();
}
