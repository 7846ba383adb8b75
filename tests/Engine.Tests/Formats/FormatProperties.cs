using FsCheck;
using FsCheck.Fluent;
using Registry.Engine.Tests.Oracle;
using Property = Registry.Engine.Tests.Properties.Property;

namespace Registry.Engine.Tests.Formats;

/// <summary>Random contents: what qemu writes we read and map as qemu does.</summary>
public sealed class FormatProperties
{
    private static readonly string[] Written =
    [
        "vmdk subformat=monolithicSparse", "vmdk zeroed_grain=on", "vpc subformat=dynamic", "vpc subformat=fixed",
        "vpc force_size=on", "vhdx block_size=1M", "vhdx block_size=1M,block_state_zero=off", "vdi static=off",
        "vdi static=on",
    ];

    private static readonly string[] Converted =
    [
        "vmdk subformat=streamOptimized", "vmdk subformat=monolithicSparse", "vdi static=off", "vhdx block_size=2M",
        "vpc subformat=dynamic",
    ];

    [Fact]
    public void Whatever_qemu_writes_in_place_we_read_and_map_alike()
    {
        QemuImg.Require();
        Property.Holds(
            from shape in Gen.Elements(Written)
            from sectors in Gen.Choose(1, 12_000)
            from writes in Gen.NonEmptyListOf(
                from at in Gen.Choose(0, 11_999)
                from length in Gen.Choose(1, 700)
                from what in Gen.Elements("write -P 7", "write -P 8", "write -z", "write -zu")
                select (at, length, what))
            select (shape, sectors, writes: writes.ToList()),
            async input =>
            {
                using var directory = new TempDirectory();
                var path = directory.File("image");
                var (format, options) = QemuFormatTests.Split(input.shape);
                QemuImg.Run("create", "-q", "-f", format, "-o", options, path, $"{input.sectors * 512L}");
                QemuImg.Io(
                    path,
                    input.writes.Where(write => write.at < input.sectors).Select(write =>
                        $"{write.what} {write.at * 512L} {Math.Min(write.length, input.sectors - write.at) * 512L}"),
                    format);
                await QemuFormatTests.AssertAlike(path, format, isHuge: false);
                return true;
            },
            tests: 40);
    }

    [Fact]
    public void Whatever_qemu_converts_we_read_and_map_alike()
    {
        QemuImg.Require();
        Property.Holds(
            from shape in Gen.Elements(Converted)
            from sectors in Gen.Choose(1, 12_000)
            from writes in Gen.ListOf(
                from at in Gen.Choose(0, 11_999)
                from length in Gen.Choose(1, 700)
                from isRandom in Gen.Elements(true, false)
                select (at, length, isRandom))
            select (shape, sectors, writes: writes.ToList()),
            async input =>
            {
                using var directory = new TempDirectory();
                var disk = new byte[input.sectors * 512];
                var random = new Random(input.sectors);
                foreach (var (at, length, isRandom) in input.writes.Where(write => write.at < input.sectors))
                {
                    var part = disk.AsSpan(at * 512, Math.Min(length, input.sectors - at) * 512);
                    part.Fill(9);
                    if (isRandom)
                    {
                        random.NextBytes(part);
                    }
                }

                await File.WriteAllBytesAsync(directory.File("in.raw"), disk);
                var path = directory.File("image");
                var (format, options) = QemuFormatTests.Split(input.shape);
                QemuImg.Run(
                    "convert", "-f", "raw", "-O", format, "-o", options, directory.File("in.raw"), path);
                await QemuFormatTests.AssertAlike(path, format, isHuge: false);
                return true;
            },
            tests: 40);
    }
}
