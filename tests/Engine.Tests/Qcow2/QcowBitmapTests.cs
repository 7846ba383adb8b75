using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Qcow2;

public sealed class QcowBitmapTests
{
    private const int M = 1 << 20;

    [Fact]
    public async Task Bitmaps_are_listed_and_their_ranges_are_what_was_written()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk");
        QemuImg.Create(path, (300 * M) + 512, "cluster_size=4k");
        QemuImg.Run("bitmap", "--add", "-g", "512", path, "fine");
        QemuImg.Run("bitmap", "--add", "-g", "64k", path, "coarse");
        QemuImg.Io(path, ["write -P 1 1000k 3k", "write -P 1 40M 40M", $"write -P 1 {300 * M} 512"]);
        QemuImg.Run("bitmap", "--add", "--disable", "-g", "64k", path, "empty");
        QemuImg.Io(path, ["write -P 2 0 512"]);

        await using var bytes = FileBytes.OpenRead(path);
        await using var image = await QcowImage.OpenAsync(bytes, DiskOpenOptions.Local(path), Disk.Stop);
        var bitmaps = await image.ReadBitmapsAsync(Disk.Stop);
        Assert.Equal(
            [("fine", 512L, QcowBitmapFlags.Auto), ("coarse", 65536, QcowBitmapFlags.Auto), ("empty", 65536, default)],
            bitmaps.Select(bitmap => (bitmap.Name, bitmap.Granularity, bitmap.Flags)));
        Assert.Equal(
            [(0, 512), (1000 << 10, 3 << 10), (40 * M, 40 * M), (300 * M, 512)],
            await Ranges(image, bitmaps[0]));
        Assert.Equal(
            [(0, 65536), (960 << 10, 64 << 10), (40 * M, 40 * M), (300 * M, 512)],
            await Ranges(image, bitmaps[1]));
        Assert.Empty(await Ranges(image, bitmaps[2]));
    }

    [Fact]
    public async Task A_bitmap_that_was_not_closed_is_flagged_and_not_read()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk");
        QemuImg.Create(path, M);
        QemuImg.Run("bitmap", "--add", path, "b");
        var file = await File.ReadAllBytesAsync(path, Disk.Stop);
        var at = file.AsSpan().IndexOf((ReadOnlySpan<byte>)[0x23, 0x85, 0x28, 0x75]);
        var directoryOffset = (int)BinaryPrimitives.ReadUInt64BigEndian(file.AsSpan(at + 24));
        file[directoryOffset + 15] |= 1;
        await using var image = await Disk.OpenQcow(new MemoryBytes(file));
        var bitmap = Assert.Single(await image.ReadBitmapsAsync(Disk.Stop));
        Assert.True(bitmap.IsInconsistent);
        Assert.Equal(FormatError.DirtyImage, await Disk.Refusal(async () => await Ranges(image, bitmap)));

        file[directoryOffset + 15] &= 0xFE;
        file[95] = 0; // a writer that does not know bitmaps was here
        await using var written = await Disk.OpenQcow(new MemoryBytes(file));
        Assert.True(Assert.Single(await written.ReadBitmapsAsync(Disk.Stop)).IsInconsistent);
    }

    [Theory]
    [InlineData(0, 0)]       // no bitmaps
    [InlineData(3, 2)]       // more than the directory holds
    [InlineData(12, 0xFF)]   // the directory is larger than any may be
    [InlineData(16, 0x10)]   // it lies outside the file
    public async Task A_malformed_extension_is_refused(int field, byte value)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        QemuImg.Create(directory.File("disk"), M);
        QemuImg.Run("bitmap", "--add", directory.File("disk"), "b");
        var file = await File.ReadAllBytesAsync(directory.File("disk"), Disk.Stop);
        var at = file.AsSpan().IndexOf((ReadOnlySpan<byte>)[0x23, 0x85, 0x28, 0x75]) + 8;
        file[at + field] = value;
        if (field == 0)
        {
            file.AsSpan(at, 4).Clear();
        }

        await using var image = await Disk.OpenQcow(new MemoryBytes(file));
        await Assert.ThrowsAsync<ImageFormatException>(async () => await image.ReadBitmapsAsync(Disk.Stop));
    }

    private static async Task<List<(long Start, long Length)>> Ranges(QcowImage image, QcowBitmap bitmap)
    {
        var ranges = new List<(long, long)>();
        await foreach (var range in bitmap.RangesAsync(image, Disk.Stop))
        {
            ranges.Add(range);
        }

        return ranges;
    }
}
