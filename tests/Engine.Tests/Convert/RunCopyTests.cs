using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Raw;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

/// <summary>Copies of local files inside the kernel: the same content, and which zeroes are left out.</summary>
public sealed class RunCopyTests
{
    private const int Block = 64 << 10;

    [Theory]
    [InlineData(DiskFormat.Raw, 64 << 10)]
    [InlineData(DiskFormat.Qcow2, 64 << 10)]
    [InlineData(DiskFormat.Qcow2, 4096)]
    [InlineData(DiskFormat.Qcow2, 2 << 20)]
    public async Task Any_mixture_of_content_and_zeroes_arrives_as_it_was(DiskFormat format, int clusterSize)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        for (var seed = 0; seed < 4; seed++)
        {
            var source = directory.File($"source-{seed}.raw");
            await File.WriteAllBytesAsync(source, Mixture(seed, (5 << 20) + (seed * 4608)), Disk.Stop);
            var target = directory.File($"target-{seed}");
            await ConvertAsync(source, target, format, new ConvertOptions { Qcow = new() { ClusterSize = clusterSize } });

            QemuImg.Compare(source, "raw", target, format == DiskFormat.Raw ? "raw" : "qcow2");
            if (format == DiskFormat.Qcow2)
            {
                QemuImg.Check(target);
            }
        }
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task Blocks_of_zeroes_and_zeroes_at_the_beginning_of_a_block_are_left_out(DiskFormat format)
    {
        using var directory = new TempDirectory();
        var source = directory.File("source.raw");
        var bytes = new byte[4 * Block];
        bytes.AsSpan(0, Block).Fill(7); // the second block stays zero
        bytes.AsSpan((2 * Block) + 8192, 4096).Fill(7);
        bytes.AsSpan(3 * Block, 4096).Fill(7); // zeroes behind content are copied with it
        await File.WriteAllBytesAsync(source, bytes, Disk.Stop);

        Assert.Equal(Block + 4096 + Block, await ConvertAsync(source, directory.File("some"), format, new()));
        Assert.Equal(
            Block + 4096 + 4096,
            await ConvertAsync(source, directory.File("all"), format, new() { FindsAllZeroes = true }));
        Assert.Equal(
            bytes.Length, await ConvertAsync(source, directory.File("none"), DiskFormat.Raw, new() { SparseBytes = 0 }));
    }

    [Fact]
    public async Task A_part_of_a_disk_is_copied_from_where_it_begins()
    {
        using var directory = new TempDirectory();
        var bytes = Mixture(1, 1 << 20);
        await File.WriteAllBytesAsync(directory.File("source.raw"), bytes, Disk.Stop);
        await using var file = FileBytes.OpenRead(directory.File("source.raw"));
        await using var image = new RawImage(file);
        DiskPart[] parts = [new(image, 5000, 200_000), new(image, 600_001, 300_000)];

        await Converter.ConvertAsync(parts, directory.File("parts.raw"), DiskFormat.Raw, new(), Disk.Stop);

        byte[] expected = [.. bytes[5000..205_000], .. bytes[600_001..900_001]];
        Assert.Equal(expected, await File.ReadAllBytesAsync(directory.File("parts.raw"), Disk.Stop));
    }

    private static async Task<long> ConvertAsync(
        string source, string target, DiskFormat format, ConvertOptions options)
    {
        await using var file = FileBytes.OpenRead(source);
        await using var image = new RawImage(file);
        return await Converter.ConvertAsync(image, target, format, options, Disk.Stop);
    }

    private static byte[] Mixture(int seed, int length)
    {
        var random = new Random(seed);
        var bytes = new byte[length];
        for (var position = 0; position < length;)
        {
            var run = Math.Min(length - position, 512 << random.Next(9));
            if (random.Next(2) == 0)
            {
                random.NextBytes(bytes.AsSpan(position, run));
            }

            position += run;
        }

        return bytes;
    }
}
