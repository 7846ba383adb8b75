using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Bytes;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Properties;

public sealed class QcowProperties
{
    private const long Size = 3 << 20;

    [Fact]
    public void Whatever_qemu_writes_we_read_the_same()
    {
        QemuImg.Require();
        Property.Holds(
            from bits in Gen.Choose(9, 17)
            from options in Gen.Elements("compat=0.10", "compat=1.1", "compression_type=zstd", "refcount_bits=4")
            from writes in Gen.NonEmptyListOf(Write(bits))
            select (bits, options, writes: writes.ToList()),
            async input =>
            {
                using var directory = new TempDirectory();
                var path = directory.File("disk.qcow2");
                QemuImg.Create(path, Size, $"{input.options},cluster_size={1 << input.bits}");
                QemuImg.Io(path, input.writes, mayFail: true);
                await using var source = FileBytes.OpenRead(path);

                // qemu 7.2 sometimes puts a data cluster onto a host cluster that compressed ones still use; then its
                // own check says so, or it marks the image corrupt, or cannot read it itself. Such an image proves
                // nothing.
                if (QemuImg.TryRun("check", "-f", "qcow2", path).ExitCode != 0
                    || QemuImg.Run("info", "--output=json", path)
                        .Contains("\"corrupt\": true", StringComparison.Ordinal))
                {
                    return true;
                }

                await using var image = await Disk.OpenQcow(source);
                var raw = directory.File("disk.raw");
                if (QemuImg.TryRun("convert", "-f", "qcow2", "-O", "raw", path, raw).ExitCode != 0)
                {
                    // The same damage, which its check does not see: what it cannot read must not be read as something.
                    await Assert.ThrowsAsync<ImageFormatException>(() => Disk.Sha256ByPieces(image));
                    return true;
                }

                var expected = QemuImg.Sha256(raw);
                return await Disk.Sha256ByRead(image, 77_777) == expected
                    && await Disk.Sha256ByPieces(image) == expected;
            },
            tests: 25);
    }

    [Fact]
    public void Whatever_is_allocated_the_written_qcow2_is_clean_and_the_same()
    {
        QemuImg.Require();
        Property.Holds(
            from bits in Gen.Elements(9, 10, 12, 16, 21)
            from version in Gen.Elements(2, 3)
            from sectors in Gen.Choose(1, 6000)
            from grow in Gen.Choose(0, 100_000)
            from writes in Gen.ListOf(
                from at in Gen.Choose(0, 5999)
                from length in Gen.Choose(1, 300)
                select (at, length))
            select (bits, version, sectors, grow, writes: writes.ToList()),
            async input =>
            {
                using var directory = new TempDirectory();
                var bytes = new byte[input.sectors * 512];
                var random = new Random(input.sectors);
                foreach (var (at, length) in input.writes)
                {
                    var start = Math.Min(at, input.sectors - 1) * 512;
                    random.NextBytes(bytes.AsSpan(start, Math.Min(length * 512, bytes.Length - start)));
                }

                await File.WriteAllBytesAsync(directory.File("in.raw"), bytes);
                await using var source = FileBytes.OpenRead(directory.File("in.raw"));
                await using var image = new Engine.Raw.RawImage(source);
                var options = new ConvertOptions
                {
                    Size = (input.sectors + input.grow) * 512L,
                    Qcow = new QcowShape { ClusterSize = 1 << input.bits, Version = input.version },
                    IsDurable = false,
                };
                await Converter.ConvertAsync(image, directory.File("out.qcow2"), DiskFormat.Qcow2, options, Disk.Stop);
                QemuImg.Check(directory.File("out.qcow2"));
                QemuImg.Compare(directory.File("in.raw"), "raw", directory.File("out.qcow2"), "qcow2");
                return true;
            },
            tests: 40);
    }

    private static Gen<string> Write(int clusterBits) =>
        from kind in Gen.Choose(0, 5)
        from pattern in Gen.Choose(1, 255)
        from a in Gen.Choose(0, (int)(Size / 512) - 1)
        from b in Gen.Choose(1, 400)
        select Command(clusterBits, kind, pattern, a, b);

    private static string Command(int clusterBits, int kind, int pattern, int sector, int sectors)
    {
        var offset = sector * 512L;
        var length = Math.Min(sectors * 512L, Size - offset);
        var cluster = offset >> clusterBits << clusterBits;
        return kind switch
        {
            0 when cluster + (1 << clusterBits) <= Size => $"write -c -P {pattern} {cluster} {1 << clusterBits}",
            1 => $"write -z {offset} {length}",
            2 => $"discard {offset} {length}",
            3 => $"write -zu {offset} {length}",
            _ => $"write -P {pattern} {offset} {length}",
        };
    }
}
