using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

/// <summary>Every shape of qcow2 file that a conversion can be asked for.</summary>
public sealed class QcowTargetTests
{
    private const int Size = (7 << 20) + 1536;

    public static TheoryData<string, QcowShape> Shapes => new()
    {
        { "default", QcowShape.Default },
        { "old", new() { Version = 2, ClusterSize = 4096 } },
        { "tiny", new() { ClusterSize = 512 } },
        { "huge", new() { ClusterSize = 2 << 20 } },
        { "rc1", new() { RefcountBits = 1 } },
        { "rc2", new() { RefcountBits = 2, ClusterSize = 1024 } },
        { "rc4", new() { RefcountBits = 4 } },
        { "rc8", new() { RefcountBits = 8, ClusterSize = 512 } },
        { "rc32", new() { RefcountBits = 32, ClusterSize = 2048 } },
        { "rc64", new() { RefcountBits = 64 } },
        { "lazy", new() { LazyRefcounts = true } },
        { "zstd", new() { Compression = ClusterCompression.Zstd } },
        { "ext", new() { ExtendedL2 = true } },
        { "ext16k", new() { ExtendedL2 = true, ClusterSize = 16 << 10, Compression = ClusterCompression.Zstd } },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task A_shape_is_sound_with_and_without_compression(string name, QcowShape shape)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = await SourceAsync(directory, name);
        foreach (var compress in new[] { false, true })
        {
            var target = directory.File($"out-{compress}");
            var options = new ConvertOptions { Qcow = shape, Compress = compress, Size = Size + (5 << 20) };
            await ConvertAsync(source, target, DiskFormat.Qcow2, options);
            QemuImg.Check(target);
            QemuImg.Compare(source, "raw", target, "qcow2");
            var info = QemuImg.Run("info", "-f", "qcow2", target);
            Assert.Contains($"refcount bits: {shape.RefcountBits}", info, StringComparison.Ordinal);
            Assert.Contains($"cluster_size: {shape.ClusterSize}", info, StringComparison.Ordinal);
            Assert.Equal(shape.LazyRefcounts, info.Contains("lazy refcounts: true", StringComparison.Ordinal));
            Assert.Equal(shape.ExtendedL2, info.Contains("extended l2: true", StringComparison.Ordinal));
            Assert.Equal(
                shape.Compression == ClusterCompression.Zstd,
                info.Contains("compression type: zstd", StringComparison.Ordinal));
            await AssertReadsAsync(source, target);
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task A_shape_is_sound_when_preallocated(string name, QcowShape shape)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = await SourceAsync(directory, name);
        foreach (var preallocation in new[] { Preallocation.Metadata, Preallocation.FAlloc, Preallocation.Full })
        {
            var target = directory.File($"out-{preallocation}");
            await ConvertAsync(
                source, target, DiskFormat.Qcow2, new ConvertOptions { Qcow = shape, Preallocation = preallocation });
            QemuImg.Check(target);
            QemuImg.Compare(source, "raw", target, "qcow2");
            await using var file = FileBytes.OpenRead(target);
            Assert.Equal(preallocation != Preallocation.Metadata, file.AllocatedBytes() >= file.Length);
            await using var image = await Disk.OpenQcow(file);
            Assert.All(await Disk.Map(image), extent => Assert.Equal(ExtentKind.Data, extent.Kind));
        }
    }

    [Theory]
    [InlineData(ClusterCompression.Deflate)]
    [InlineData(ClusterCompression.Zstd)]
    public async Task Compressed_is_as_small_as_qemu_makes_it_and_the_same_with_any_number_of_processors(
        ClusterCompression compression)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = directory.File("in.raw");
        await File.WriteAllBytesAsync(source, Words(24 << 20), Disk.Stop);
        var shape = new QcowShape { Compression = compression };
        var name = compression == ClusterCompression.Zstd ? "zstd" : "zlib";
        QemuImg.Run(
            "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", $"compression_type={name}", source,
            directory.File("qemu"));
        byte[]? first = null;
        foreach (var parallelism in new[] { 1, 2, 7 })
        {
            var read = DiskReadOptions.Local with { Parallelism = parallelism };
            await ConvertAsync(
                source, directory.File("ours"), DiskFormat.Qcow2,
                new ConvertOptions { Qcow = shape, Compress = true, Read = read });
            var bytes = await File.ReadAllBytesAsync(directory.File("ours"), Disk.Stop);
            first ??= bytes;
            Assert.True(first.AsSpan().SequenceEqual(bytes), $"{parallelism} at a time give another file");
        }

        QemuImg.Check(directory.File("ours"));
        var theirs = new FileInfo(directory.File("qemu")).Length;
        Assert.InRange(first!.Length, theirs * 0.5, theirs * 1.03);
    }

    [Fact]
    public async Task Options_that_contradict_each_other_are_refused()
    {
        using var directory = new TempDirectory();
        var source = await SourceAsync(directory, "x");
        foreach (var shape in new QcowShape[]
        {
            new() { Version = 2, RefcountBits = 8 }, new() { Version = 2, LazyRefcounts = true },
            new() { Version = 2, Compression = ClusterCompression.Zstd }, new() { Version = 2, ExtendedL2 = true },
            new() { RefcountBits = 3 }, new() { RefcountBits = 128 }, new() { Version = 4 },
            new() { ExtendedL2 = true, ClusterSize = 8192 }, new() { ClusterSize = 1000 },
        })
        {
            foreach (var compress in new[] { false, true })
            {
                await Assert.ThrowsAsync<DiskOperationException>(() => ConvertAsync(
                    source, directory.File("out"), DiskFormat.Qcow2,
                    new ConvertOptions { Qcow = shape, Compress = compress }));
                Assert.False(File.Exists(directory.File("out")));
            }
        }
    }

    [Fact]
    public async Task A_compressed_image_reads_back_through_another_conversion()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var source = await SourceAsync(directory, "x");
        await ConvertAsync(source, directory.File("c"), DiskFormat.Qcow2, new ConvertOptions { Compress = true });
        await using var bytes = FileBytes.OpenRead(directory.File("c"));
        await using var image = await Disk.OpenQcow(bytes);
        await Converter.ConvertAsync(
            image, directory.File("raw"), DiskFormat.Raw, new ConvertOptions { SparseBytes = 0 }, Disk.Stop);
        QemuImg.Compare(source, "raw", directory.File("raw"), "raw");
        await using var raw = FileBytes.OpenRead(directory.File("raw"));
        Assert.InRange(raw.AllocatedBytes(), raw.Length, raw.Length + (1 << 20));
    }

    /// <summary>Noise, words and zeroes in turn, also within clusters.</summary>
    private static async Task<string> SourceAsync(TempDirectory directory, string seed)
    {
        var bytes = new byte[Size];
        var random = new Random(seed.Length);
        for (var position = 0; position < Size;)
        {
            var length = Math.Min(random.Next(1, 300_000), Size - position);
            var part = bytes.AsSpan(position, length);
            switch (random.Next(4))
            {
                case 0:
                    random.NextBytes(part);
                    break;
                case 1:
                    Words(length).CopyTo(part);
                    break;
                case 2:
                    part.Fill(7);
                    break;
                default:
                    break;
            }

            position += length;
        }

        await File.WriteAllBytesAsync(directory.File("in.raw"), bytes, Disk.Stop);
        return directory.File("in.raw");
    }

    private static byte[] Words(int length)
    {
        var random = new Random(4);
        var words = Enumerable.Range(0, 3000)
            .Select(_ => System.Text.Encoding.ASCII.GetBytes($"{(char)random.Next('a', 'z')}{random.Next(100_000)} "))
            .ToArray();
        var bytes = new byte[length];
        for (var position = 0; position < length;)
        {
            var word = words[random.Next(words.Length)].AsSpan();
            word = word[..Math.Min(word.Length, length - position)];
            word.CopyTo(bytes.AsSpan(position));
            position += word.Length;
        }

        return bytes;
    }

    private static async Task AssertReadsAsync(string raw, string qcow)
    {
        await using var bytes = FileBytes.OpenRead(qcow);
        await using var image = await Disk.OpenQcow(bytes);
        await using var expected = FileBytes.OpenRead(raw);
        await using var disk = new Engine.Raw.RawImage(expected);
        Assert.True((await DiskCompare.CompareAsync(image, disk, Disk.Stop)).IsIdentical);
    }

    private static async Task ConvertAsync(string source, string target, DiskFormat format, ConvertOptions options)
    {
        await using var bytes = FileBytes.OpenRead(source);
        await using var image = new Engine.Raw.RawImage(bytes);
        await Converter.ConvertAsync(image, target, format, options, Disk.Stop);
    }
}
