using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

public sealed class ConverterTests
{
    public static TheoryData<string, string> Sources => new()
    {
        { "compat=1.1", "scattered" },
        { "compat=1.1", "zeroes" },
        { "compat=0.10", "compressed" },
        { "compression_type=zstd", "compressed" },
        { "cluster_size=512", "scattered" },
        { "cluster_size=2M", "scattered" },
        { "extended_l2=on", "zeroes" },
        { "compat=1.1", "empty" },
    };

    [Theory]
    [MemberData(nameof(Sources))]
    public async Task A_qcow2_becomes_a_sparse_raw_file(string options, string content)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = Make(directory, options, content);
        await Convert(source, DiskFormat.Qcow2, directory.File("out.raw"), DiskFormat.Raw);

        QemuImg.Compare(source, "qcow2", directory.File("out.raw"), "raw");
        Assert.Equal(QemuImg.Sha256(QemuImg.ToRaw(source)), QemuImg.Sha256(directory.File("out.raw")));
    }

    [Theory]
    [MemberData(nameof(Sources))]
    public async Task A_qcow2_becomes_a_clean_qcow2(string options, string content)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = Make(directory, options, content);
        foreach (var (size, version) in new[] { (64 << 10, 3), (512, 2), (4096, 3), (2 << 20, 2) })
        {
            var target = directory.File($"out-{size}-{version}.qcow2");
            var shape = new ConvertOptions { Qcow = new QcowShape { ClusterSize = size, Version = version } };
            await Convert(source, DiskFormat.Qcow2, target, DiskFormat.Qcow2, shape);
            QemuImg.Check(target);
            QemuImg.Compare(source, "qcow2", target, "qcow2");
        }
    }

    [Fact]
    public async Task A_disk_grows_in_the_same_pass()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = Make(directory, "compat=1.1", "scattered");
        var grown = new ConvertOptions { Size = 12L << 30 };
        foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2 })
        {
            var target = directory.File($"out.{format}");
            await Convert(source, DiskFormat.Qcow2, target, format, grown);
            Assert.Contains(
                $"{12L << 30}",
                QemuImg.Run("info", "--output=json", "-f", format.ToString().ToLowerInvariant(), target));
            QemuImg.Compare(source, "qcow2", target, format.ToString().ToLowerInvariant());
        }

        QemuImg.Check(directory.File("out.Qcow2"));
    }

    [Fact]
    public async Task A_raw_disk_becomes_a_qcow2_without_its_zeroes()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var bytes = new byte[(4 << 20) + 700];
        new Random(1).NextBytes(bytes.AsSpan(300_000, 200_000));
        bytes[^1] = 1;
        await File.WriteAllBytesAsync(directory.File("in.raw"), bytes, Disk.Stop);
        await Convert(directory.File("in.raw"), DiskFormat.Raw, directory.File("out.qcow2"), DiskFormat.Qcow2);

        QemuImg.Check(directory.File("out.qcow2"));
        Assert.InRange(new FileInfo(directory.File("out.qcow2")).Length, 5 * 65536, 12 * 65536);
        await using var source = FileBytes.OpenRead(directory.File("out.qcow2"));
        await using var image = await Disk.OpenQcow(source);
        await using var rawSource = FileBytes.OpenRead(directory.File("in.raw"));
        await using var raw = new Engine.Raw.RawImage(rawSource);
        Assert.True((await DiskCompare.CompareAsync(image, raw, Disk.Stop)).IsIdentical);
    }

    [Fact]
    public async Task A_cancelled_conversion_leaves_no_file()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = Make(directory, "compat=1.1", "scattered");
        using var stop = new CancellationTokenSource();
        var options = new ConvertOptions { Progress = new Callback(_ => stop.Cancel()) };
        foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2 })
        {
            await using var bytes = FileBytes.OpenRead(source);
            await using var image = await Disk.OpenQcow(bytes);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                async () => await Converter.ConvertAsync(image, directory.File("out"), format, options, stop.Token));
            Assert.False(File.Exists(directory.File("out")));
        }
    }

    [Fact]
    public async Task A_disk_is_not_converted_onto_itself()
    {
        using var directory = new TempDirectory();
        await File.WriteAllBytesAsync(directory.File("disk"), new byte[] { 1, 2, 3 }, Disk.Stop);
        await Assert.ThrowsAnyAsync<IOException>(
            () => Convert(directory.File("disk"), DiskFormat.Raw, directory.File("disk"), DiskFormat.Raw));
        Assert.Equal(3, new FileInfo(directory.File("disk")).Length);
    }

    [Fact]
    public async Task Progress_ends_at_its_total()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = Make(directory, "compression_type=zstd", "compressed");
        var last = default(ConvertProgress);
        await Convert(
            source, DiskFormat.Qcow2, directory.File("out"), DiskFormat.Raw,
            new ConvertOptions { Progress = new Callback(p => last = p), IsDurable = false });
        Assert.True(last.BytesDone > 0);
        Assert.Equal(last.BytesTotal, last.BytesDone);
    }

    private static string Make(TempDirectory directory, string options, string content)
    {
        var path = directory.File("source.qcow2");
        const long Size = 6 << 20;
        QemuImg.Create(path, Size, options);
        var cluster = options.Contains("=512", StringComparison.Ordinal) ? 512
            : options.Contains("2M", StringComparison.Ordinal) ? 2 << 20 : 64 << 10;
        var commands = Contents.Commands(content, Size, Math.Min(cluster, 64 << 10), seed: 7);
        if (commands.Count > 0)
        {
            QemuImg.Io(path, commands);
        }

        return path;
    }

    private static async Task Convert(
        string source, DiskFormat from, string target, DiskFormat to, ConvertOptions? options = null)
    {
        await using var bytes = FileBytes.OpenRead(source);
        await using var image = await DiskImages.OpenAsync(bytes, from, DiskOpenOptions.Strict, Disk.Stop);
        await Converter.ConvertAsync(image, target, to, options ?? ConvertOptions.Default, Disk.Stop);
    }

    private sealed class Callback(Action<ConvertProgress> action) : IProgress<ConvertProgress>
    {
        public void Report(ConvertProgress value) => action(value);
    }
}
