using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2;

/// <summary>Images of many shapes, made by qemu: we read and map them as qemu does.</summary>
public sealed class QcowCorpusTests
{
    public static TheoryData<string, long, string> Shapes => new()
    {
        // options, virtual size, kind of content
        { "compat=0.10", 8 << 20, "scattered" },
        { "compat=0.10,cluster_size=512", 2 << 20, "scattered" },
        { "compat=1.1,cluster_size=512", 2 << 20, "scattered" },
        { "compat=1.1,cluster_size=1k", 2 << 20, "scattered" },
        { "compat=1.1,cluster_size=4k", 8 << 20, "scattered" },
        { "compat=1.1", 32 << 20, "scattered" },
        { "cluster_size=256k", 32 << 20, "scattered" },
        { "cluster_size=2M", 64 << 20, "scattered" },
        { "refcount_bits=1", 8 << 20, "scattered" },
        { "refcount_bits=8", 8 << 20, "scattered" },
        { "refcount_bits=64", 8 << 20, "scattered" },
        { "preallocation=metadata", 8 << 20, "scattered" },
        { "lazy_refcounts=on", 8 << 20, "scattered" },
        { "extended_l2=on", 8 << 20, "scattered" },
        { "extended_l2=on,cluster_size=16k", 8 << 20, "zeroes" },
        { "compat=1.1", 8 << 20, "zeroes" },
        { "compat=0.10", 8 << 20, "zeroes" },
        { "cluster_size=512", 2 << 20, "compressed" },
        { "cluster_size=4k", 4 << 20, "compressed" },
        { "compat=0.10", 8 << 20, "compressed" },
        { "compression_type=zlib", 8 << 20, "compressed" },
        { "compression_type=zstd", 8 << 20, "compressed" },
        { "compression_type=zstd,cluster_size=2M", 64 << 20, "compressed" },
        { "compression_type=zlib,cluster_size=2M", 64 << 20, "compressed" },
        { "compression_type=zstd,cluster_size=512", 1 << 20, "compressed" },
        { "compat=1.1", (1 << 20) + 512, "tail" },
        { "compression_type=zstd", (1 << 20) + 1536, "tail" },
        { "compat=1.1", 16 << 20, "empty" },
        { "compat=1.1", 1L << 40, "empty" },
        { "compat=1.1", 0, "empty" },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task We_read_what_qemu_reads(string options, long size, string content)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk.qcow2");
        QemuImg.Create(path, size, options);
        var cluster = ClusterSize(options);
        var commands = Contents.Commands(content, size, cluster, seed: options.Length + (int)size);
        if (commands.Count > 0)
        {
            QemuImg.Io(path, commands);
        }

        await using var source = FileBytes.OpenRead(path);
        await using var image = await Disk.OpenQcow(source);
        Assert.Equal(size, image.VirtualSize);
        await AssertMapsAlike(path, image);
        if (size > 1 << 30)
        {
            return;
        }

        var expected = QemuImg.Sha256(QemuImg.ToRaw(path));
        Assert.Equal(expected, await Disk.Sha256ByRead(image, 100_000));
        Assert.Equal(expected, await Disk.Sha256ByPieces(image));
        var small = new DiskReadOptions
        {
            MaxRangeBytes = 64 << 10,
            MaxGapBytes = 0,
            WindowExtents = 3,
            Parallelism = 5,
        };
        Assert.Equal(expected, await Disk.Sha256ByPieces(image, small));
    }

    [Fact]
    public async Task An_image_with_snapshots_shows_its_active_disk()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk.qcow2");
        QemuImg.Create(path, 8 << 20);
        QemuImg.Io(path, ["write -P 1 0 1M", "write -P 2 3M 64k"]);
        QemuImg.Run("snapshot", "-c", "first", path);
        QemuImg.Io(path, ["write -P 3 64k 128k", "write -P 4 5M 64k", "discard 3M 64k"]);
        QemuImg.Run("snapshot", "-c", "second", path);
        QemuImg.Io(path, ["write -P 5 0 4k"]);

        await using var source = FileBytes.OpenRead(path);
        await using var image = await Disk.OpenQcow(source);
        Assert.Equal(QemuImg.Sha256(QemuImg.ToRaw(path)), await Disk.Sha256ByRead(image));
        await image.VerifyAsync(Disk.Stop);
    }

    [Fact]
    public async Task A_file_that_grew_after_a_partial_last_cluster_is_still_read()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk.qcow2");
        QemuImg.Create(path, (64 << 10) + 512);
        QemuImg.Io(path, ["write -P 7 64k 512"]);
        QemuImg.Run("resize", "-q", path, $"{4 << 20}");

        await using var source = FileBytes.OpenRead(path);
        await using var image = await Disk.OpenQcow(source);
        Assert.Equal(QemuImg.Sha256(QemuImg.ToRaw(path)), await Disk.Sha256ByRead(image));
    }

    private static int ClusterSize(string options)
    {
        var at = options.IndexOf("cluster_size=", StringComparison.Ordinal);
        if (at < 0)
        {
            return 64 << 10;
        }

        var value = options[(at + "cluster_size=".Length)..].Split(',')[0];
        return value[^1] switch
        {
            'k' => int.Parse(value[..^1]) << 10,
            'M' => int.Parse(value[..^1]) << 20,
            _ => int.Parse(value),
        };
    }

    /// <summary>Same runs of stored bytes at the same offsets; what qemu calls zero is not stored by ours either. The
    /// other way round qemu also looks for holes in the file, so stored bytes of ours may be zeroes of
    /// qemu's.</summary>
    private static async Task AssertMapsAlike(string path, DiskImage image)
    {
        var ours = await Disk.Map(image);
        long position = 0;
        foreach (var extent in ours)
        {
            Assert.Equal(position, extent.Start);
            position = extent.End;
        }

        Assert.Equal(image.VirtualSize, position);
        foreach (var theirs in QemuImg.Map(path))
        {
            foreach (var extent in ours.Where(e => e.Start < theirs.Start + theirs.Length && e.End > theirs.Start))
            {
                if (theirs.Offset >= 0 && extent.Kind == ExtentKind.Data)
                {
                    Assert.Equal(theirs.Offset - theirs.Start, extent.Offset - extent.Start);
                }
                else if (theirs.Data && theirs.Offset < 0)
                {
                    Assert.Equal(ExtentKind.Compressed, extent.Kind);
                }
                else if (theirs.Data)
                {
                    Assert.Equal(ExtentKind.Data, extent.Kind);
                }
                else
                {
                    Assert.True(!extent.IsStored || theirs.Offset >= 0, $"{theirs} {extent}");
                }
            }
        }
    }
}
