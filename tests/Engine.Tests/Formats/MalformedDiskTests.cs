using System.Buffers.Binary;
using Registry.Engine.Disks;
using Registry.Engine.Tests.Oracle;
using Registry.Fuzz;

namespace Registry.Engine.Tests.Formats;

/// <summary>Each spoilt thing is refused under its own name, with every checksum right.</summary>
public sealed class MalformedDiskTests
{
    private const string Sparse = "vmdk subformat=monolithicSparse";
    private const string Stream = "vmdk subformat=streamOptimized";
    private const string Dynamic = "vpc subformat=dynamic,force_size=on";
    private const string Vhdx = "vhdx block_size=1M";
    private const string Vdi = "vdi static=off";

    // Where qemu puts things in a small image.
    private const int VhdTable = 1536;
    private const int VdiMap = 512;
    private const int VhdxTable = 2 << 20;
    private const int VhdxItems = (3 << 20) + (64 << 10);

    /// <summary>What is spoilt: in a VMDK also "directory", "table" and "grain" stand for where those are.</summary>
    public static TheoryData<string, string, string, long, FormatError> Spoilt => new()
    {
        { "a newer version", Sparse, "4", 4, FormatError.UnsupportedVersion },
        { "grain of no power of two", Sparse, "20", 129, FormatError.InvalidHeader },
        { "grains of 2 GiB", Sparse, "20", 1 << 22, FormatError.InvalidHeader },
        { "a disk of 8 EiB", Sparse, "18", 0xFFFF, FormatError.VirtualSizeTooLarge },
        { "a directory of gigabytes", Sparse, "16", 0x80, FormatError.TableTooLarge },
        { "tables of four entries", Sparse, "44", 4, FormatError.UnsupportedFeature },
        { "directory outside", Sparse, "56", 0x7FFFFFFF, FormatError.OutsideFile },
        { "first grain outside", Sparse, "64", 0x7FFFFFFF, FormatError.Truncated },
        { "table outside", Sparse, "directory", 0x7FFFFFFF, FormatError.OutsideFile },
        { "grain outside", Sparse, "table", 0x7FFFFFFF, FormatError.OutsideFile },
        { "grain on the header", Sparse, "table", 1, FormatError.OverlapsMetadata },
        { "grain on the tables", Sparse, "table", 26, FormatError.OverlapsMetadata },
        { "grain on half of another one", Sparse, "table", 320, FormatError.SharedCluster },
        { "compressed grain outside", Stream, "table", 0x7FFFFFFF, FormatError.OutsideFile },
        { "compressed grain on the header", Stream, "table", 1, FormatError.OverlapsMetadata },
        { "no zlib in a grain", Stream, "grain", 0x01010101, FormatError.BadCompressedData },
        { "an unknown compression", Stream, "77", 2, FormatError.UnsupportedFeature },
        { "compressed grains of 4 MiB", Stream, "20", 8192, FormatError.UnsupportedFeature },

        { "differencing", Dynamic, "63!", 4, FormatError.BackingFileRefused },
        { "a newer version", Dynamic, "12!", 2 << 16, FormatError.UnsupportedVersion },
        { "header outside", Dynamic, "20!", 0x7FFFFFFF, FormatError.InvalidHeader },
        { "blocks of no power of two", Dynamic, "544!", 3 << 20, FormatError.InvalidHeader },
        { "blocks of a sector", Dynamic, "544!", 512, FormatError.InvalidHeader },
        { "a table of gigabytes", Dynamic, "540!", 0x7FFFFFFF, FormatError.TableTooLarge },
        { "a table too short", Dynamic, "540!", 1, FormatError.InvalidHeader },
        { "table outside", Dynamic, "532!", 0x7FFFFE00, FormatError.OutsideFile },
        { "block outside", Dynamic, $"{VhdTable}!", 0x7FFFFFFF, FormatError.OutsideFile },
        { "block on the table", Dynamic, $"{VhdTable}!", 3, FormatError.OverlapsMetadata },
        { "block on half of another one", Dynamic, $"{VhdTable + 4}!", 5, FormatError.SharedCluster },

        { "with a parent", Vhdx, $"{VhdxItems + 4}", 2, FormatError.BackingFileRefused },
        { "blocks of 512 MiB", Vhdx, $"{VhdxItems}", 1 << 29, FormatError.InvalidHeader },
        { "a log to be replayed", Vhdx, "log", 1, FormatError.DirtyImage },
        { "table outside", Vhdx, "regions", 0x7FF00000, FormatError.OutsideFile },
        { "block outside", Vhdx, $"{VhdxTable}", 0x7FF00006, FormatError.OutsideFile },
        { "block on the headers", Vhdx, $"{VhdxTable}", 6, FormatError.OverlapsMetadata },
        { "block on the metadata", Vhdx, $"{VhdxTable}", 0x00300006, FormatError.OverlapsMetadata },
        { "block stored in part", Vhdx, $"{VhdxTable}", 0x00800007, FormatError.InvalidTableEntry },
        { "block used twice", Vhdx, $"{VhdxTable + 8}", 0x00800006, FormatError.SharedCluster },

        { "a newer version", Vdi, "68", 0x00020000, FormatError.UnsupportedVersion },
        { "with a parent", Vdi, "424", 1, FormatError.BackingFileRefused },
        { "differencing", Vdi, "76", 4, FormatError.BackingFileRefused },
        { "blocks of 2 MiB", Vdi, "376", 2 << 20, FormatError.UnsupportedFeature },
        { "a map of gigabytes", Vdi, "384", 0x7FFFFFFF, FormatError.TableTooLarge },
        { "a map outside", Vdi, "384", 0x1FFFFFFF, FormatError.OverlapsMetadata },
        { "a map too short", Vdi, "384", 1, FormatError.InvalidHeader },
        { "block outside", Vdi, $"{VdiMap}", 0x7FFFFFFF, FormatError.OutsideFile },
        { "block used twice", Vdi, $"{VdiMap + 4}", 0, FormatError.SharedCluster },
        { "blocks in front of the map", Vdi, "344", 0, FormatError.OverlapsMetadata },
    };

    [Theory]
    [MemberData(nameof(Spoilt))]
    public async Task It_is_refused_by_name(string what, string shape, string place, long value, FormatError expected)
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var (format, options) = QemuFormatTests.Split(shape);
        var image = await PokedImageTests.MakeAsync(directory, format, options);
        var file = new SparseBytes(image.Length);
        file.Write(0, image);
        var bytes = new byte[4];
        if (place.EndsWith('!'))
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes, (uint)value);
        }
        else
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)value);
        }

        // One byte where a field is one byte, or the rest is another field's.
        var isByte = place is "63!" or "16" or "18" or "77";
        foreach (var at in Places(image, place))
        {
            file.Write(at, isByte ? new[] { (byte)value } : bytes);
        }

        file.RepairChecksums();
        var refusal = await Assert.ThrowsAsync<ImageFormatException>(async () =>
        {
            await using var disk = await DiskImages.OpenAsync(
                file, QemuFormatTests.FormatOf(format), DiskOpenOptions.Strict, Disk.Stop);
            await FuzzTargets.ReadAsync(disk);
        });
        Assert.True(expected == refusal.Error, $"{what}: {refusal.Error} {refusal.Message}");
    }

    [Fact]
    public async Task A_cut_file_is_refused_not_read_as_zeroes()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        foreach (var shape in new[] { Sparse, Stream, Dynamic, Vhdx, Vdi, "vpc subformat=fixed" })
        {
            var (format, options) = QemuFormatTests.Split(shape);
            var image = await PokedImageTests.MakeAsync(directory, format, options);
            foreach (var length in new[] { 0, 100, 511, 512, 1024, image.Length / 2 })
            {
                await Assert.ThrowsAsync<ImageFormatException>(async () =>
                {
                    await using var disk = await DiskImages.OpenAsync(
                        new MemoryBytes(image[..length]), QemuFormatTests.FormatOf(format), DiskOpenOptions.Strict,
                        Disk.Stop);
                    await FuzzTargets.ReadAsync(disk);
                });
            }
        }
    }

    [Fact]
    public async Task A_footer_says_where_the_directory_is_and_nothing_else()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var image = WithFooter(await PokedImageTests.MakeAsync(directory, "vmdk", "subformat=streamOptimized"));
        var path = directory.File("footer.vmdk");
        await File.WriteAllBytesAsync(path, image, Disk.Stop);
        await QemuFormatTests.AssertAlike(path, "vmdk", isHuge: false);

        foreach (var (at, error) in new[]
        {
            (0, FormatError.Truncated), (4, FormatError.InvalidHeader), (12, FormatError.InvalidHeader),
            (20, FormatError.InvalidHeader), (58, FormatError.OutsideFile),
        })
        {
            var spoilt = (byte[])image.Clone();
            spoilt[^(1024 - at)] ^= 0x10;
            Assert.Equal(error, await Disk.Refusal(async () => await DiskImages.OpenAsync(
                new MemoryBytes(spoilt), DiskFormat.Vmdk, DiskOpenOptions.Strict, Disk.Stop)));
        }
    }

    [Fact]
    public async Task A_grain_is_as_long_as_the_disk_needs_and_its_checksum_counts()
    {
        QemuImg.Require();
        using var directory = new TempDirectory();
        var image = await PokedImageTests.MakeAsync(directory, "vmdk", "subformat=streamOptimized");
        var table = Places(image, "table")[0];

        // The disk's last grain, one sector long, in the place of its first one.
        var spoilt = (byte[])image.Clone();
        image.AsSpan((int)table + (48 * 4), 4).CopyTo(spoilt.AsSpan((int)table));
        spoilt.AsSpan((int)table + (48 * 4), 4).Clear();
        Assert.Equal(FormatError.BadCompressedData, await ReadRefusal(spoilt));

        spoilt = (byte[])image.Clone();
        var marker = (int)Places(image, "grain")[0] - 12;
        var length = BinaryPrimitives.ReadInt32LittleEndian(image.AsSpan(marker + 8));
        spoilt[marker + 12 + length - 1] ^= 1;
        Assert.Equal(FormatError.BadCompressedData, await ReadRefusal(spoilt));

        static Task<FormatError> ReadRefusal(byte[] bytes) => Disk.Refusal(async () =>
        {
            await using var disk = await DiskImages.OpenAsync(
                new MemoryBytes(bytes), DiskFormat.Vmdk, DiskOpenOptions.Strict, Disk.Stop);
            await Disk.Sha256ByPieces(disk);
        });
    }

    [Theory]
    [InlineData("vmdk", 8 << 20, 30)]  // a directory of 32 MiB, every entry the same table
    [InlineData("vmdk", 8 << 20, 0)]   // … or none
    [InlineData("vhd", 8 << 20, 0)]    // a table of 32 MiB, every block the same
    public async Task A_table_of_millions_of_entries_stays_in_the_budget(string target, int entries, byte value)
    {
        // A table of one byte over and over cannot be packed in 64 KiB; one piece of it in each MiB says as much.
        var head = target == "vmdk" ? VmdkHead(entries) : VhdHead(entries);
        var packed = new List<byte>();
        packed.AddRange(Sectors(64 << 11)); // 64 MiB
        packed.AddRange(Piece(0, head));
        for (var i = 0; i < 32 && value > 0; i++)
        {
            packed.AddRange(Piece(64 + (i << 11), [.. Enumerable.Repeat(new byte[] { value, 0, 0, 0 }, 8000).SelectMany(b => b)]));
        }

        await FuzzTargets.RunAsync(target, [.. packed], FuzzTargets.BudgetTime * 10);
    }

    /// <summary>Moves what the header says of the directory to the file's end, as writers do that cannot seek.</summary>
    private static byte[] WithFooter(byte[] image)
    {
        var padded = (image.Length + 511) / 512 * 512;
        var result = new byte[padded + (3 * 512)];
        image.CopyTo(result, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(result.AsSpan(padded), 1);       // marker: one sector follows …
        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(padded + 12), 3);  // … the footer
        image.AsSpan(0, 512).CopyTo(result.AsSpan(padded + 512));
        BinaryPrimitives.WriteUInt64LittleEndian(result.AsSpan(56), ulong.MaxValue);
        return result;
    }

    private static byte[] VmdkHead(int entries)
    {
        var head = new Registry.Hostile.VmdkBytes
        {
            CapacitySectors = (ulong)entries * 512 * 8, GrainSectors = 8, DirectoryOffset = 64,
        };
        return head.ToBytes()[..(21 * 512)];
    }

    private static byte[] VhdHead(int entries)
    {
        var head = new Registry.Hostile.VhdBytes
        {
            DiskBytes = (ulong)entries * 4096, Entries = (uint)entries, BlockBytes = 4096, TableOffset = 64 * 512,
        };
        return head.ToBytes()[..1536];
    }

    private static byte[] Sectors(uint count) => BitConverter.GetBytes(count);

    private static IEnumerable<byte> Piece(int sector, byte[] bytes) =>
        [.. BitConverter.GetBytes(sector), .. BitConverter.GetBytes((ushort)bytes.Length), .. bytes];

    private static long[] Places(byte[] image, string place)
    {
        var directory = (int)BinaryPrimitives.ReadInt64LittleEndian(image.AsSpan(56)) * 512;
        if (place is "directory" or "table" or "grain" && directory < 0)
        {
            directory = (int)BinaryPrimitives.ReadInt64LittleEndian(image.AsSpan(image.Length - 1024 + 56)) * 512;
        }

        return place switch
        {
            "directory" => [directory],
            "table" => [Pointed(directory)],
            "grain" => [Pointed(Pointed(directory)) + 12],
            "log" => [(64 << 10) + 48, (128 << 10) + 48],
            "regions" => [(192 << 10) + 16 + 16],
            _ => [long.Parse(place.TrimEnd('!'))],
        };

        int Pointed(int at) => BinaryPrimitives.ReadInt32LittleEndian(image.AsSpan(at)) * 512;
    }
}
