using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Raw;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

/// <summary>Targets that hold something already: existing files written in place, devices.</summary>
public sealed class UsedTargetTests
{
    [Fact]
    public async Task An_existing_raw_target_is_overwritten_and_keeps_its_length()
    {
        using var directory = new TempDirectory();
        var (content, used) = (Sparse(1 << 20), Noise(1_500_000));
        await File.WriteAllBytesAsync(directory.File("out"), used, Disk.Stop);
        await ConvertAsync(content, directory.File("out"), new ConvertOptions { IntoExisting = true });
        var written = await File.ReadAllBytesAsync(directory.File("out"), Disk.Stop);
        Assert.Equal([.. content, .. used[content.Length..]], written);
    }

    [Fact]
    public async Task An_existing_target_that_is_too_short_is_refused_and_left_alone()
    {
        using var directory = new TempDirectory();
        var used = Noise(5000);
        await File.WriteAllBytesAsync(directory.File("out"), used, Disk.Stop);
        await Assert.ThrowsAsync<IOException>(
            () => ConvertAsync(Sparse(6000), directory.File("out"), new ConvertOptions { IntoExisting = true }));
        Assert.Equal(used, await File.ReadAllBytesAsync(directory.File("out"), Disk.Stop));
    }

    [Theory]
    [InlineData(512)]
    [InlineData(64 << 10)]
    [InlineData(2 << 20)]
    public async Task Nothing_of_a_used_device_shows_through_a_qcow2(int clusterSize)
    {
        var device = new MemoryBytes(Noise(24 << 20));
        const int Size = 9 << 20;
        var content = Sparse(Size);
        var shape = new QcowShape { ClusterSize = clusterSize };
        var sink = new QcowAppendSink(device, Size, shape) { TargetIsZero = false };
        var random = new Random(2);
        for (var position = 0; position < Size;)
        {
            var length = Math.Min(512 * random.Next(1, 400), Size - position);
            if (content.AsSpan(position, length).ContainsAnyExcept((byte)0))
            {
                await sink.WriteAsync(position, content.AsMemory(position, length), Disk.Stop);
            }

            position += length;
        }

        await sink.CompleteAsync(Disk.Stop);
        await using var image = await Disk.OpenQcow(device);
        var read = new byte[Size];
        await image.ReadAsync(0, read, Disk.Stop);
        Assert.True(read.AsSpan().SequenceEqual(content));
    }

    private static byte[] Noise(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Zeroes with noise in a few places.</summary>
    private static byte[] Sparse(int length)
    {
        var bytes = new byte[length];
        var random = new Random(6);
        for (var i = 0; i < 12; i++)
        {
            var start = random.Next(length);
            random.NextBytes(bytes.AsSpan(start, Math.Min(random.Next(1, 40_000), length - start)));
        }

        return bytes;
    }

    private static async Task ConvertAsync(byte[] content, string target, ConvertOptions options) =>
        await Converter.ConvertAsync(
            new RawImage(new MemoryBytes(content)), target, DiskFormat.Raw, options, Disk.Stop);
}
