using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>The verbs that change disks do what qemu-img does: the same exit code, a clean image, the same
/// content.</summary>
public sealed class DiskChangeTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _registry = ExternalTool.Require(RegistryProcess.Executable);
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");
    private readonly ExternalTool _qemuIo = ExternalTool.Require("qemu-io");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("create -q -f qcow2 NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -o compat=0.10,cluster_size=4k NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -o cluster_size=512,refcount_bits=1 NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -o extended_l2=on,compression_type=zstd,lazy_refcounts=on NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -o preallocation=metadata,refcount_bits=64 NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -o preallocation=falloc NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -o preallocation=full NEW 3M", "NEW")]
    [InlineData("create -q -f qcow2 -b disk.qcow2 -F qcow2 NEW", "NEW")]
    [InlineData("create -q -f qcow2 -u -b absent.raw -F raw NEW 3M", null)]
    [InlineData("create -q -f qcow2 -o data_file=data.raw,data_file_raw=on NEW 3M", "NEW")]
    [InlineData("create -q -f raw NEW 3M", null)]
    [InlineData("create -q -f qcow2 -o compat=0.10,refcount_bits=8 NEW 3M", null)]
    [InlineData("create -q -f qcow2 -o cluster_size=1000 NEW 3M", null)]
    [InlineData("create -q -f qcow2 NEW", null)]
    [InlineData("resize -q disk.qcow2 +1M", "disk.qcow2")]
    [InlineData("resize -q disk.qcow2 5M", "disk.qcow2")]
    [InlineData("resize -q --shrink disk.qcow2 -1M", "disk.qcow2")]
    [InlineData("resize -q disk.qcow2 1M", "disk.qcow2")]
    [InlineData("resize -q -f raw base.raw 3M", null)]
    [InlineData("snapshot -c two disk.qcow2", "disk.qcow2")]
    [InlineData("snapshot -a one disk.qcow2", "disk.qcow2")]
    [InlineData("snapshot -d one disk.qcow2", "disk.qcow2")]
    [InlineData("snapshot -d none disk.qcow2", "disk.qcow2")]
    [InlineData("rebase -q -b other.raw -F raw overlay.qcow2", "overlay.qcow2")]
    [InlineData("rebase -q -u -b other.raw -F raw overlay.qcow2", "overlay.qcow2")]
    [InlineData("commit -q overlay.qcow2", "overlay.qcow2")]
    [InlineData("commit -q -d overlay.qcow2", "overlay.qcow2")]
    [InlineData("commit -q disk.qcow2", "disk.qcow2")]
    [InlineData("amend -q -o compat=0.10 overlay.qcow2", "overlay.qcow2")]
    [InlineData("amend -q -o refcount_bits=64,lazy_refcounts=on disk.qcow2", "disk.qcow2")]
    [InlineData("amend -q -o refcount_bits=1 disk.qcow2", "disk.qcow2")]
    [InlineData("amend -q -o nonsense=1 disk.qcow2", "disk.qcow2")]
    [InlineData("bitmap --add disk.qcow2 b", "disk.qcow2")]
    [InlineData("bitmap --add --disable -g 32k disk.qcow2 b", "disk.qcow2")]
    [InlineData("bitmap --remove disk.qcow2 b", "disk.qcow2")]
    public async Task A_change_ends_as_with_qemu_img(string line, string? image)
    {
        var theirs = await RunAsync(_qemuImg, [], line, "theirs");
        var ours = await RunAsync(_registry, ["disk"], line, "ours");

        Assert.True(
            theirs.ExitCode == ours.ExitCode,
            $"{theirs.ExitCode}: {theirs.Error}\n{ours.ExitCode}: {ours.Error}");
        if (image is null || !File.Exists(Path.Combine(_directory.File("theirs"), image)))
        {
            return;
        }

        var left = Path.Combine(_directory.File("theirs"), image);
        var right = Path.Combine(_directory.File("ours"), image);
        await _qemuImg.OutputAsync(Stop, "check", "-q", "-f", "qcow2", right);
        await _qemuImg.OutputAsync(Stop, "compare", "-q", "-f", "qcow2", "-F", "qcow2", left, right);
        Assert.Equal(await DescribeAsync(left), await DescribeAsync(right));
    }

    private async Task<ToolResult> RunAsync(ExternalTool tool, string[] verb, string line, string folder)
    {
        var home = _directory.File(folder);
        Directory.CreateDirectory(home);
        await MakeAsync(home);
        var arguments = line.Split(' ').Select(word => IsPath(line, word) ? Path.Combine(home, word) : word);
        return await tool.RunAsync([.. verb, .. arguments], Stop);
    }

    // What an image is to store as a name stays relative.
    private static bool IsPath(string line, string word) =>
        !line.Contains($"-b {word}", StringComparison.Ordinal)
        && (word == "NEW" || word == "base.raw" || word.EndsWith(".qcow2", StringComparison.Ordinal));

    /// <summary>A disk with a snapshot, content before and after it, and zeroes; an overlay of a raw file.</summary>
    private async Task MakeAsync(string home)
    {
        var (disk, overlay) = (Path.Combine(home, "disk.qcow2"), Path.Combine(home, "overlay.qcow2"));
        var content = new byte[2 << 20];
        new Random(1).NextBytes(content.AsSpan(300_000, 500_000));
        await File.WriteAllBytesAsync(Path.Combine(home, "base.raw"), content, Stop);
        new Random(2).NextBytes(content.AsSpan(1_000_000, 100_000));
        await File.WriteAllBytesAsync(Path.Combine(home, "other.raw"), content, Stop);
        await _qemuImg.OutputAsync(Stop, "create", "-q", "-f", "qcow2", disk, "3M");
        await _qemuIo.OutputAsync(Stop, "-c", "write -P 1 0 500k", "-c", "write -P 2 2900k 100k", disk);
        await _qemuImg.OutputAsync(Stop, "snapshot", "-c", "one", disk);
        await _qemuIo.OutputAsync(Stop, "-c", "write -P 3 100k 1M", "-c", "write -z 64k 64k", disk);
        await _qemuImg.OutputAsync(Stop, "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", overlay);
        await _qemuIo.OutputAsync(Stop, "-c", "write -P 4 700k 200k", "-c", "write -z 384k 64k", overlay);
    }

    /// <summary>What qemu-img says of an image, but for what two programs may do differently: names, times and
    /// sizes on disk.</summary>
    private async Task<string> DescribeAsync(string image)
    {
        var text = await _qemuImg.OutputAsync(Stop, "info", "-f", "qcow2", image);
        return string.Join('\n', text.Split('\n').Where(line =>
            !line.StartsWith("image:", StringComparison.Ordinal)
            && !line.StartsWith("disk size:", StringComparison.Ordinal)
            && !line.Contains("backing file:", StringComparison.Ordinal)
            && !line.Contains(":0", StringComparison.Ordinal)));
    }
}
