using Registry.Engine.Bytes;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>The images that changes fail on: made once, and copied for each change.</summary>
public sealed class UndoLab : IAsyncLifetime
{
    private static readonly string[] Large = ["large.qcow2", "wide.qcow2"];

    private readonly TempDirectory _directory = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>Makes the images.</summary>
    public async ValueTask InitializeAsync()
    {
        var content = new byte[2 << 20];
        new Random(1).NextBytes(content.AsSpan(300_000, 500_000));
        await File.WriteAllBytesAsync(Path("base.raw"), content, Stop);
        new Random(2).NextBytes(content.AsSpan(1_000_000, 100_000));
        await File.WriteAllBytesAsync(Path("other.raw"), content, Stop);
        await File.WriteAllBytesAsync(Path("small.raw"), new byte[1 << 20], Stop);
        await QemuAsync("create -q -f qcow2 disk.qcow2 2M", "write -P 1 0 300k");
        await QemuAsync("create -q -f qcow2 small.qcow2 1M");
        await QemuAsync("create -q -f qcow2 -o cluster_size=512 small-clusters.qcow2 2M", "write -P 1 0 300k");
        await QemuAsync("create -q -f qcow2 -b base.raw -F raw overlay.qcow2 3M", "write -P 4 700k 200k");
        await QemuAsync("create -q -f qcow2 snap.qcow2 2M", "write -P 1 0 300k");
        await QemuAsync("snapshot -c one snap.qcow2");
        await QemuAsync("resize -q snap.qcow2 3M", "write -P 2 100k 100k");
        await QemuAsync("create -q -f qcow2 -o compat=0.10 v2snap.qcow2 2M", "write -P 1 0 300k");
        await QemuAsync("snapshot -c one v2snap.qcow2");
        await QemuAsync("create -q -f qcow2 bitmaps.qcow2 2M", "write -P 1 0 300k");
        await QemuAsync("bitmap --add bitmaps.qcow2 a");
        await QemuAsync("bitmap --add -g 32k bitmaps.qcow2 b");
        await QemuIoAsync("bitmaps.qcow2", "write -P 2 300k 200k");
        var made = await RegistryCommandLine.RunAsync(
            "disk", "create", "-f", "qcow2", "-o", "data_file=data.raw,data_file_raw=on", Path("data.qcow2"), "2M");
        Assert.True(made.ExitCode == 0, made.Error);
        await MakePackedAsync("large.qcow2", [.. Enumerable.Range(0, 64 << 20).Select(i => (byte)((i >> 12) ^ (i % 7)))]);
        await QemuAsync("create -q -f qcow2 -b large.qcow2 -F qcow2 wide.qcow2 64M");
        new Random(7).NextBytes(content);
        await MakePackedAsync("cut.qcow2", [.. content.Select(one => (byte)(one & 0x0F))]);
        await using var cut = FileBytes.OpenWrite(Path("cut.qcow2"));
        await cut.WriteAsync(cut.Length / 2, new byte[cut.Length / 2], Stop);
    }

    /// <summary>Copies the images.</summary>
    /// <param name="directory">Where to.</param>
    /// <param name="isLargeWanted">Whether those of 64 MiB are among them.</param>
    public async Task CopyAsync(string directory, bool isLargeWanted)
    {
        var files = Directory.GetFiles(_directory.Path)
            .Where(path => isLargeWanted || !Large.Contains(System.IO.Path.GetFileName(path)));
        await ExternalTool.Require("cp").OutputAsync(Stop, ["-a", "--sparse=always", .. files, directory]);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    private string Path(string name) => _directory.File(name);

    private async Task MakePackedAsync(string name, byte[] content)
    {
        var source = Path("source");
        await File.WriteAllBytesAsync(source, content, Stop);
        await ExternalTool.Require("qemu-img").OutputAsync(
            Stop, "convert", "-c", "-f", "raw", "-O", "qcow2", source, Path(name));
        File.Delete(source);
    }

    private async Task QemuAsync(string line, string? write = null)
    {
        var words = line.Split(' ');
        var image = words.Last(word => word.EndsWith(".qcow2", StringComparison.Ordinal));
        await ExternalTool.Require("qemu-img").OutputAsync(
            Stop, [.. words.Select(word => word == image ? Path(word) : word)]);
        if (write is not null)
        {
            await QemuIoAsync(image, write);
        }
    }

    private Task<string> QemuIoAsync(string image, string write) =>
        ExternalTool.Require("qemu-io").OutputAsync(Stop, "-c", write, Path(image));
}
