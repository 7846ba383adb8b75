using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Raw;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

public sealed class SinkTests
{
    [Fact]
    public async Task A_fresh_raw_target_stays_sparse_where_content_is_zero()
    {
        using var directory = new TempDirectory();
        await using var file = FileBytes.CreateNew(directory.File("out"));
        var sink = new RawDiskSink(file, 1 << 20, targetIsZero: true);
        var data = new byte[300_000];
        data[100_000] = 1;
        data[299_999] = 2;
        await sink.WriteAsync(1000, data, Disk.Stop);
        await sink.CompleteAsync(Disk.Stop);

        Assert.Equal(1 << 20, file.Length);
        Assert.InRange(sink.BytesWritten, 2, 3 * 4096);
        var read = new byte[1 << 20];
        await file.ReadAsync(0, read, Disk.Stop);
        Assert.True(read.AsSpan(1000, data.Length).SequenceEqual(data));
        Assert.Equal(2, read.Count(b => b != 0));
    }

    [Fact]
    public async Task Whatever_is_not_written_to_a_used_target_becomes_zero()
    {
        var used = new byte[500_000];
        Array.Fill(used, (byte)0xEE);
        var target = new MemoryBytes(used);
        var sink = new RawDiskSink(target, 400_000, targetIsZero: false);
        var expected = new byte[400_000];
        var random = new Random(3);
        foreach (var (offset, length) in new[] { (200_001, 99_999), (7, 50_000), (50_007, 10) })
        {
            var data = new byte[length];
            random.NextBytes(data.AsSpan(length / 3));
            data.CopyTo(expected, offset);
            await sink.WriteAsync(offset, data, Disk.Stop);
        }

        await sink.CompleteAsync(Disk.Stop);
        Assert.True(target.IsFlushed);
        Assert.Equal(expected, target.Bytes[..400_000]);
    }

    [Theory]
    [InlineData(512, 2)]
    [InlineData(4096, 3)]
    [InlineData(65536, 3)]
    public async Task Any_range_of_a_layout_is_the_same_bytes_as_the_whole(int clusterSize, int version)
    {
        var clusters = QcowLayout.ClusterCount(40 << 20, clusterSize);
        var set = new ClusterSet(clusters);
        var random = new Random(clusterSize);
        for (var i = 0; i < 200; i++)
        {
            var first = random.NextInt64(clusters);
            set.AddRange(first, Math.Min(clusters, first + random.Next(1, 40)));
        }

        set.Seal();
        var layout = new QcowLayout(
            40 << 20, set, new QcowShape { ClusterSize = clusterSize, Version = version });
        var whole = new byte[layout.MetadataLength];
        layout.ReadMetadata(0, whole);
        for (var i = 0; i < 300; i++)
        {
            var start = random.NextInt64(whole.Length / 8) * 8;
            var part = new byte[Math.Min(random.Next(1, 3000) * 8, whole.Length - start)];
            layout.ReadMetadata(start, part);
            Assert.True(part.AsSpan().SequenceEqual(whole.AsSpan((int)start, part.Length)), $"{start} {part.Length}");
        }

        // Our own strict reader agrees with the layout about every cluster.
        var file = new MemoryBytes(whole);
        await file.SetLengthAsync(layout.Length, Disk.Stop);
        await using var image = await Disk.OpenQcow(file);
        foreach (var extent in await Disk.Map(image))
        {
            Assert.Equal(extent.IsStored ? extent.Offset : -1, layout.HostOffset(extent.Start));
        }

        var runs = layout.AllocatedRuns().ToList();
        Assert.Equal((await Disk.Map(image)).Where(e => e.IsStored).Select(e => (e.Start, e.Length)), runs);
    }

    [Fact]
    public async Task A_qcow2_sink_refuses_content_outside_its_layout()
    {
        var set = new ClusterSet(16);
        set.AddRange(1, 2);
        set.Seal();
        var sink = new QcowDiskSink(new MemoryBytes(), new QcowLayout(1 << 20, set, QcowShape.Default));
        await sink.WriteAsync(0, new byte[100], Disk.Stop);
        await Assert.ThrowsAsync<ArgumentException>(async () => await sink.WriteAsync(0, new byte[] { 1 }, Disk.Stop));
    }

    [Fact]
    public async Task Disks_are_compared_by_what_a_guest_sees()
    {
        var a = new byte[3_000_000];
        new Random(1).NextBytes(a.AsSpan(0, 2_000_000));
        var b = a[..2_500_000];
        Assert.Equal(new DiskComparison(true, -1, SizesDiffer: true), await Compare(a, b));
        Assert.Equal(new DiskComparison(true, -1, SizesDiffer: true), await Compare(b, a));
        a[2_700_000] = 1;
        Assert.Equal(new DiskComparison(false, 2_700_000, SizesDiffer: true), await Compare(a, b));
        b[1_234_567]++;
        Assert.Equal(new DiskComparison(false, 1_234_567, SizesDiffer: true), await Compare(a, b));
        Assert.Equal(new DiskComparison(true, -1, SizesDiffer: false), await Compare([], []));
    }

    private static ValueTask<DiskComparison> Compare(byte[] a, byte[] b) =>
        DiskCompare.CompareAsync(new RawImage(new MemoryBytes(a)), new RawImage(new MemoryBytes(b)), Disk.Stop);
}
