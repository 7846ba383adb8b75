using System.Buffers.Binary;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>The images that both programs are tried on: made once, by qemu-img, and copied for whoever changes
/// them.</summary>
public sealed class DiskLab : IAsyncLifetime
{
    private const int Cluster = 64 << 10;

    private static readonly Dictionary<string, string[]> Below = new()
    {
        ["middle.qcow2"] = ["base.qcow2"],
        ["top.qcow2"] = ["middle.qcow2", "base.qcow2"],
        ["onraw.qcow2"] = ["base.raw"],
    };

    private readonly TempDirectory _directory = new();
    private readonly ExternalTool _qemuImg = ExternalTool.Require("qemu-img");
    private readonly ExternalTool _qemuIo = ExternalTool.Require("qemu-io");
    private readonly ExternalTool _cp = ExternalTool.Require("cp");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>Where the images are.</summary>
    public string Home => _directory.Path;

    /// <summary>Makes the images.</summary>
    public async ValueTask InitializeAsync()
    {
        var content = new byte[2 << 20];
        new Random(1).NextBytes(content.AsSpan(300_000, 500_000));
        await File.WriteAllBytesAsync(Path("dense.raw"), content, Stop);
        await _cp.OutputAsync(Stop, "--sparse=always", Path("dense.raw"), Path("base.raw"));
        await File.WriteAllBytesAsync(Path("odd.raw"), content.AsMemory(0, 700_001), Stop);
        await File.WriteAllBytesAsync(Path("empty.raw"), [], Stop);
        await File.WriteAllBytesAsync(Path("garbage.qcow2"), [.. "QFI"u8, 0xFB, 0, 0, 0, 3, .. content[300_000..309_000]],
            Stop);
        await File.WriteAllTextAsync(Path("key"), "sesame", Stop);
        new Random(2).NextBytes(content.AsSpan(1_000_000, 100_000));
        await File.WriteAllBytesAsync(Path("other.raw"), content, Stop);

        await MakeAsync("base.qcow2", "2M", "write -P 1 0 300k", "write -P 2 1M 256k");
        await MakeAsync("other.qcow2", "2M", "write -P 1 0 300k", "write -P 9 1M 64k");
        await MakeAsync("middle.qcow2", "3M", "-b base.qcow2 -F qcow2", "write -P 3 128k 128k", "write -z 1M 64k");
        await MakeAsync("top.qcow2", "3M", "-b middle.qcow2 -F qcow2", "write -P 4 192k 128k", "write -P 5 2900k 64k");
        await MakeAsync("onraw.qcow2", "3M", "-b base.raw -F raw", "write -P 4 700k 200k", "write -z 384k 64k");
        await MakeAsync("v2.qcow2", "2M", "-o compat=0.10", "write -P 6 500k 300k");
        await MakeAsync("small.qcow2", "2M", "-o cluster_size=4k,refcount_bits=8", "write -P 7 10k 30k", "write -z 64k 8k");
        await MakeAsync("extended.qcow2", "2M", "-o extended_l2=on,cluster_size=64k", "write -P 7 10k 30k", "write -z 40k 8k");
        await MakeAsync("prealloc.qcow2", "2M", "-o preallocation=metadata", "write -P 7 10k 30k");
        await MakeAsync("snap.qcow2", "3M", "write -P 1 0 500k", "write -P 2 2900k 100k");
        await QemuAsync("snapshot", "-c", "one", Path("snap.qcow2"));
        await WriteAsync("snap.qcow2", "write -P 3 100k 1M", "write -z 64k 64k");
        await QemuAsync("snapshot", "-c", "two", Path("snap.qcow2"));
        await MakeAsync("bitmaps.qcow2", "2M", "write -P 1 0 100k");
        await QemuAsync("bitmap", "--add", Path("bitmaps.qcow2"), "a");
        await QemuAsync("bitmap", "--add", "--disable", "-g", "32k", Path("bitmaps.qcow2"), "b");
        await WriteAsync("bitmaps.qcow2", "write -P 2 300k 200k");
        await QemuAsync("convert", "-c", "-O", "qcow2", Path("base.qcow2"), Path("packed.qcow2"));
        await QemuAsync(
            "create", "-q", "-f", "qcow2", "-o", $"data_file={Path("data.raw")},data_file_raw=on",
            Path("data.qcow2"), "1M");
        await WriteAsync("data.qcow2", "write -P 1 100k 100k");
        await QemuAsync(
            "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=sesame", "-o",
            "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", Path("luks.qcow2"), "1M");
        await SpoilAsync("leaking.qcow2", (2 * Cluster) + (5 * 2), [0, 3]);
        await SpoilAsync("corrupt.qcow2", (2 * Cluster) + (5 * 2), [0, 0]);
        await SpoilAsync("strange.qcow2", 72, Big(1UL << 40));
        await File.WriteAllBytesAsync(
            Path("cut.qcow2"), (await File.ReadAllBytesAsync(Path("base.qcow2"), Stop))[..(7 * Cluster)], Stop);
    }

    /// <summary>Copies images, with what is below them, to a directory of their own.</summary>
    public async Task CopyAsync(IEnumerable<string> names, string directory)
    {
        Directory.CreateDirectory(directory);
        var files = names.SelectMany(name => Below.GetValueOrDefault(name, []).Append(name)).Distinct()
            .Select(Path).Where(File.Exists).ToList();
        if (files.Count > 0)
        {
            await _cp.OutputAsync(Stop, ["-a", "--sparse=auto", .. files, directory]);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    private static byte[] Big(ulong number)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, number);
        return bytes;
    }

    private string Path(string name) => _directory.File(name);

    private Task<string> QemuAsync(params string[] arguments) => _qemuImg.OutputAsync(Stop, arguments);

    private async Task MakeAsync(string name, string size, params string[] lines)
    {
        var options = lines.Where(line => line.StartsWith('-')).SelectMany(line => line.Split(' '));
        await QemuAsync(["create", "-q", "-f", "qcow2", .. options, Path(name), size]);
        await WriteAsync(name, [.. lines.Where(line => !line.StartsWith('-'))]);
    }

    private Task<string> WriteAsync(string name, params string[] lines) =>
        _qemuIo.OutputAsync(Stop, [.. lines.SelectMany(line => new[] { "-c", line }), Path(name)]);

    private async Task SpoilAsync(string name, long offset, byte[] bytes)
    {
        await MakeAsync(name, "2M", "write -P 1 0 300k");
        using var file = File.OpenHandle(Path(name), FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.Write(file, bytes, offset);
    }
}
