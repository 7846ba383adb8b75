using System.Buffers.Binary;
using Registry.Engine.Disks;
using Registry.Engine.Inspect;
using Registry.Engine.Tests.Oracle;
using Registry.Hostile;

namespace Registry.Engine.Tests.Inspect;

/// <summary>Every feature of qcow2 that can be read is accepted on upload, as qemu-img makes it.</summary>
public sealed class AcceptedQcowTests
{
    private const int DiskBytes = (3 << 20) + 512;
    private const int CompatibleBits = 80;
    private const int AutoclearBits = 88;
    private const int HeaderLength = 100;

    /// <summary>Options of the creation.</summary>
    public static TheoryData<string> Options =>
    [
        "compat=0.10", "compat=0.10,cluster_size=512", "compat=1.1",
        .. Enumerable.Range(9, 13).Select(bits => $"cluster_size={1 << bits}"),
        .. Enumerable.Range(14, 8).Select(bits => $"extended_l2=on,cluster_size={1 << bits}"),
        .. Enumerable.Range(0, 7).Select(order => $"refcount_bits={1 << order}"),
        "compression_type=zlib", "compression_type=zstd", "compression_type=zstd,cluster_size=2M",
        "lazy_refcounts=on", "preallocation=metadata", "preallocation=falloc", "preallocation=full",
        "extended_l2=on,lazy_refcounts=on,refcount_bits=64,compression_type=zstd,cluster_size=32k",
    ];

    /// <summary>What qemu-img does to the image once it is there; {0} is the image.</summary>
    public static TheoryData<string[]> Changes =>
    [
        new[] { "snapshot -c first {0}", "snapshot -c second {0}" },
        new[] { "snapshot -c small {0}", "resize -q {0} 8M", "snapshot -c large {0}" },
        new[] { "snapshot -c gone {0}", "snapshot -d gone {0}" },
        new[] { "snapshot -c back {0}", "snapshot -a back {0}" },
        new[] { "bitmap --add {0} b0" },
        new[] { "bitmap --add -g 4096 {0} b0", "bitmap --add --disable {0} b1", "bitmap --clear {0} b0" },
        new[] { "bitmap --add {0} b0", "snapshot -c with {0}", "bitmap --remove {0} b0" },
        new[] { "resize -q {0} 5G" },
        new[] { "resize -q --shrink {0} 1M" },
        new[] { "amend -f qcow2 -o compat=0.10 {0}" },
        new[] { "amend -f qcow2 -o lazy_refcounts=on {0}" },
        new[] { "amend -f qcow2 -o refcount_bits=1 {0}" },
    ];

    [Theory]
    [MemberData(nameof(Options))]
    public async Task However_it_was_made(string options)
    {
        using var directory = new TempDirectory();
        foreach (var compressed in new[] { false, true })
        {
            // What is allocated in advance cannot be compressed.
            if (!compressed || !options.Contains("preallocation", StringComparison.Ordinal))
                await AssertAccepted(await MakeAsync(directory, options, compressed), DiskBytes);
        }
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task Whatever_was_done_to_it(string[] commands)
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        await MakeAsync(directory, "compat=1.1", isCompressed: false);
        foreach (var command in commands)
            await qemu.OutputAsync(Disk.Stop, string.Format(null, command, directory.File("image")).Split(' '));

        await AssertAccepted(await File.ReadAllBytesAsync(directory.File("image"), Disk.Stop));
    }

    [Fact]
    public async Task An_overlay_that_let_go_of_its_base()
    {
        var qemu = ExternalTool.Require("qemu-img");
        using var directory = new TempDirectory();
        await MakeAsync(directory, "compat=1.1", isCompressed: false);
        var overlay = directory.File("overlay");
        await qemu.OutputAsync(
            Disk.Stop, "create", "-q", "-f", "qcow2", "-b", directory.File("image"), "-F", "qcow2", overlay);
        await qemu.OutputAsync(Disk.Stop, "rebase", "-f", "qcow2", "-b", "", overlay);

        await AssertAccepted(await File.ReadAllBytesAsync(overlay, Disk.Stop), DiskBytes);
    }

    [Theory]
    [InlineData(CompatibleBits, 0)]   // lazy reference counts
    [InlineData(CompatibleBits, 1)]
    [InlineData(CompatibleBits, 63)]
    [InlineData(AutoclearBits, 0)]    // bitmaps that are valid, of which there are none
    [InlineData(AutoclearBits, 2)]
    [InlineData(AutoclearBits, 63)]
    public async Task With_bits_that_may_be_ignored(int field, int bit)
    {
        using var directory = new TempDirectory();
        var file = await MakeAsync(directory, "compat=1.1", isCompressed: false);
        await AssertAccepted(file.Big64(field, 1UL << bit), DiskBytes);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(4096)]
    public async Task With_an_extension_that_nobody_knows(int length)
    {
        using var directory = new TempDirectory();
        var file = await MakeAsync(directory, "compat=1.1", isCompressed: false);
        var end = BinaryPrimitives.ReadInt32BigEndian(file.AsSpan(HeaderLength));
        while (BinaryPrimitives.ReadInt32BigEndian(file.AsSpan(end)) != 0)
            end += 8 + ((BinaryPrimitives.ReadInt32BigEndian(file.AsSpan(end + 4)) + 7) & ~7);

        QcowBytes.Extension(0x12345678, (uint)length, new byte[length]).CopyTo(file, end);
        await AssertAccepted(file, DiskBytes);
    }

    private static async Task<byte[]> MakeAsync(TempDirectory directory, string options, bool isCompressed)
    {
        var qemu = ExternalTool.Require("qemu-img");
        var disk = new byte[DiskBytes];
        new Random(11).NextBytes(disk.AsSpan(1 << 20, 700_000));
        disk.AsSpan(2 << 20, 300_000).Fill(7);
        await File.WriteAllBytesAsync(directory.File("raw"), disk, Disk.Stop);
        await qemu.OutputAsync(
            Disk.Stop,
            ["convert", .. isCompressed ? ["-c"] : Array.Empty<string>(), "-f", "raw", "-O", "qcow2", "-o", options,
                directory.File("raw"), directory.File("image")]);
        return await File.ReadAllBytesAsync(directory.File("image"), Disk.Stop);
    }

    private static async Task AssertAccepted(byte[] file, long? size = null)
    {
        var found = Inspecting.InPieces(file, 65537);
        var verdict = UploadVerdict.Judge("qcow2", "bare", found);
        Assert.True(verdict.IsAccepted, Inspecting.Summary(found));
        Assert.Equal(size ?? verdict.VirtualSize, verdict.VirtualSize);
        var refusal = await Inspecting.MapAsync(file, DiskFormat.Qcow2);
        Assert.True(refusal is null, refusal?.Message);
    }
}
