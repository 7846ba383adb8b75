using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

public sealed class DiskBodyTests
{
    [Theory]
    [InlineData("compat=1.1", "scattered")]
    [InlineData("compression_type=zstd", "compressed")]
    [InlineData("cluster_size=4k", "zeroes")]
    public async Task Any_range_of_a_body_is_that_range_of_the_converted_file(string options, string content)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var path = directory.File("disk.qcow2");
        const long Size = (4 << 20) + 512;
        QemuImg.Create(path, Size, options);
        QemuImg.Io(path, Contents.Commands(content, 4 << 20, options.Contains("4k") ? 4096 : 65536, seed: 3));
        await using var source = FileBytes.OpenRead(path);
        await using var image = await Disk.OpenQcow(source);
        var layout = await QcowLayout.ForAsync(image, Size + (1 << 20), QcowShape.Default, Disk.Stop);
        var whole = await Qcow(image, layout, 0, layout.Length);
        Assert.Equal(layout.Length, whole.Length);
        await File.WriteAllBytesAsync(directory.File("out.qcow2"), whole, Disk.Stop);
        QemuImg.Check(directory.File("out.qcow2"));
        QemuImg.Compare(path, "qcow2", directory.File("out.qcow2"), "qcow2");
        var raw = await Raw(image, Size + 5000, 0, Size + 5000);
        Assert.Equal(await File.ReadAllBytesAsync(QemuImg.ToRaw(path), Disk.Stop), raw[..(int)Size]);
        Assert.Equal(Size + 5000, raw.Length);

        var random = new Random(9);
        for (var i = 0; i < 40; i++)
        {
            var start = random.NextInt64(whole.Length);
            var length = random.NextInt64(Math.Min(600_000, whole.Length - start) + 1);
            var part = await Qcow(image, layout, start, length);
            Assert.True(part.AsSpan().SequenceEqual(whole.AsSpan((int)start, (int)length)), $"qcow2 {start} {length}");
            start = random.NextInt64(raw.Length);
            length = random.NextInt64(Math.Min(600_000, raw.Length - start) + 1);
            part = await Raw(image, raw.Length, start, length);
            Assert.True(part.AsSpan().SequenceEqual(raw.AsSpan((int)start, (int)length)), $"raw {start} {length}");
        }
    }

    private static async Task<byte[]> Qcow(DiskImage image, QcowLayout layout, long start, long length)
    {
        var body = new MemoryStream();
        await DiskBody.WriteQcowAsync(
            image,
            layout,
            start,
            length,
            DiskReadOptions.Local,
            (data, stop) => body.WriteAsync(data, stop),
            Disk.Stop);
        return body.ToArray();
    }

    private static async Task<byte[]> Raw(DiskImage image, long size, long start, long length)
    {
        var body = new MemoryStream();
        await DiskBody.WriteRawAsync(
            image, size, start, length, DiskReadOptions.Local, (data, stop) => body.WriteAsync(data, stop), Disk.Stop);
        return body.ToArray();
    }
}
