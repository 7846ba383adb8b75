using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Disks;

public sealed class MappedImageTests
{
    [Theory]
    [InlineData("compat=1.1", "scattered", 64 << 10)]
    [InlineData("compression_type=zstd", "compressed", 64 << 10)]
    [InlineData("cluster_size=512", "compressed", 512)]
    [InlineData("extended_l2=on", "zeroes", 64 << 10)]
    public async Task A_disk_is_read_by_its_map_alone(string options, string content, int cluster)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk.qcow2");
        QemuImg.Create(path, 4 << 20, options);
        QemuImg.Io(path, Contents.Commands(content, 4 << 20, cluster, seed: 11));
        await using var source = FileBytes.OpenRead(path);
        await using var original = await Disk.OpenQcow(source);
        var (map, totals) = await MapBytes(original);

        await using var mapped = await MappedImage.OpenAsync(new MemoryBytes(map), source, Disk.Stop);
        Assert.Equal(totals, mapped.Totals);
        Assert.Equal(await Disk.Map(original), await Disk.Map(mapped));
        Assert.Equal(QemuImg.Sha256(QemuImg.ToRaw(path)), await Disk.Sha256ByRead(mapped, 50_000));
        Assert.True((await DiskCompare.CompareAsync(original, mapped, Disk.Stop)).IsIdentical);

        // Nothing but stored content is fetched.
        var counter = new DiskReadTotals();
        await Disk.Sha256ByPieces(mapped, new DiskReadOptions { MaxGapBytes = 0, Totals = counter });
        Assert.InRange(counter.BytesFetched, 1, totals.StoredBytes);
        Assert.Equal(totals.AllocatedBytes, counter.BytesYielded);
    }

    [Fact]
    public async Task The_map_of_another_image_is_refused()
    {
        var image = new ListedImage(new LongSource(1000), [new Extent(0, 65536, ExtentKind.Hole)]);
        var (map, _) = await MapBytes(image);
        Assert.Equal(FormatError.FormatMismatch, await Disk.Refusal(
            async () => await MappedImage.OpenAsync(new MemoryBytes(map), new LongSource(1001), Disk.Stop)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(31)]
    [InlineData(80)]
    public async Task A_cut_map_is_refused(int length)
    {
        var image = new ListedImage(new LongSource(1000), [new Extent(0, 65536, ExtentKind.Hole)]);
        var (map, _) = await MapBytes(image);
        Assert.Equal(FormatError.Truncated, await Disk.Refusal(
            async () => await MappedImage.OpenAsync(new MemoryBytes(map[..length]), new LongSource(1000), Disk.Stop)));
    }

    [Fact]
    public async Task The_writer_refuses_extents_that_do_not_follow_each_other()
    {
        var header = new AllocationMapHeader(DiskFormat.Raw, 512, ClusterCompression.None, 1 << 20, 1 << 20);
        var writer = new AllocationMapWriter(header, (_, _) => ValueTask.CompletedTask);
        await writer.AddAsync(new Extent(0, 4096, ExtentKind.Hole), Disk.Stop);
        await Assert.ThrowsAsync<ArgumentException>(
            async () => await writer.AddAsync(new Extent(8192, 4096, ExtentKind.Hole), Disk.Stop));
        await Assert.ThrowsAsync<ArgumentException>(
            async () => await writer.AddAsync(new Extent(4096, 1 << 20, ExtentKind.Hole), Disk.Stop));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await writer.CompleteAsync(Disk.Stop));
    }

    private static async Task<(byte[] Map, AllocationTotals Totals)> MapBytes(DiskImage image)
    {
        var bytes = new MemoryStream();
        var totals = await AllocationMapWriter.WriteAsync(
            image, async (page, stop) => await bytes.WriteAsync(page, stop), Disk.Stop);
        return (bytes.ToArray(), totals);
    }
}
