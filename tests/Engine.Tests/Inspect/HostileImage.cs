using System.Buffers.Binary;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Tests.Inspect;

/// <summary>Files that must be refused, what they are declared to be, and why they are refused.</summary>
internal sealed record HostileImage(string Name, string DiskFormat, FormatError Expected, byte[] Bytes)
{
    private const uint DataFileExtension = 0x44415441;

    public override string ToString() => Name;

    public static IEnumerable<HostileImage> All() =>
        [.. References(), .. Fields(), .. Tables(), .. Vmdks(), .. OtherContainers(), .. Polyglots()];

    private static IEnumerable<HostileImage> References()
    {
        yield return Qcow("backing file", FormatError.BackingFileRefused, new() { Backing = "/etc/passwd" });
        yield return Qcow(
            "backing json", FormatError.BackingFileRefused, new() { Backing = "json:{\"driver\":\"raw\"}" });
        yield return Qcow("backing nbd", FormatError.BackingFileRefused, new() { Backing = "nbd://127.0.0.1:10809/x" });
        yield return Qcow(
            "backing, version 2", FormatError.BackingFileRefused, new() { Version = 2, Backing = "base" });
        yield return Qcow("data file", FormatError.DataFileRefused,
            new() { Incompatible = 4, Extensions = QcowBytes.Extension(DataFileExtension, "/etc/passwd") });
        yield return Qcow("data file bit alone", FormatError.DataFileRefused, new() { Incompatible = 4 });
        yield return Qcow("data file name alone", FormatError.DataFileRefused,
            new() { Extensions = QcowBytes.Extension(DataFileExtension, "/etc/passwd") });
        yield return Qcow("data file name behind a lot", FormatError.InvalidExtension, new()
        {
            ClusterBits = 21,
            L1Offset = 2 << 20,
            RefcountTableOffset = 2 << 20,
            FileBytes = 6 << 20,
            Extensions =
            [
                .. QcowBytes.Extension(0x11111111, 64 << 10, new byte[64 << 10]),
                .. QcowBytes.Extension(DataFileExtension, "/etc/passwd"),
            ],
        });
        yield return Qcow("encrypted", FormatError.Encrypted, new() { CryptMethod = 1 });
        yield return Qcow("luks inside", FormatError.Encrypted, new() { CryptMethod = 2 });
    }

    private static IEnumerable<HostileImage> Fields()
    {
        yield return Qcow("dirty", FormatError.DirtyImage, new() { Incompatible = 1 });
        yield return Qcow("corrupt", FormatError.CorruptImage, new() { Incompatible = 2 });
        yield return Qcow("unknown feature", FormatError.UnknownFeature, new() { Incompatible = 1UL << 40 });
        yield return Qcow("compression type missing", FormatError.InvalidHeader, new() { Incompatible = 8 });
        yield return Qcow("version 1", FormatError.UnsupportedVersion, new() { Version = 1 });
        yield return Qcow("version 4", FormatError.UnsupportedVersion, new() { Version = 4 });
        foreach (var bits in new uint[] { 0, 8, 22, 30, 63 })
            yield return Qcow($"cluster bits {bits}", FormatError.InvalidHeader, new() { ClusterBits = bits });

        yield return Qcow("refcount order", FormatError.InvalidHeader, new() { RefcountOrder = 63 });
        yield return Qcow("header length", FormatError.InvalidHeader, new() { HeaderLength = uint.MaxValue });
        yield return Qcow("extension length wraps", FormatError.InvalidExtension,
            new() { Extensions = QcowBytes.Extension(0x6803F857, 0xFFFFFFFD, []) });
        yield return Qcow("extension length huge", FormatError.InvalidExtension,
            new() { Extensions = QcowBytes.Extension(0x23852875, 0x7FFFFFFF, []) });
        yield return new("cut in the header", "qcow2", FormatError.Truncated, new QcowBytes().ToBytes()[..71]);
        yield return new("one byte", "qcow2", FormatError.FormatMismatch, [(byte)'Q']);
    }

    private static IEnumerable<HostileImage> Tables()
    {
        yield return Qcow("size 2^63", FormatError.VirtualSizeTooLarge, new() { DiskBytes = 1UL << 63 });
        yield return Qcow("size all ones", FormatError.VirtualSizeTooLarge, new() { DiskBytes = ulong.MaxValue });
        yield return Qcow("1 EiB in a tiny file", FormatError.VirtualSizeTooLarge,
            new() { DiskBytes = 1UL << 60, L1Entries = 1 << 25 });
        yield return Qcow("L1 huge", FormatError.TableTooLarge, new() { L1Entries = uint.MaxValue });
        yield return Qcow("L1 too short", FormatError.InvalidHeader, new() { L1Entries = 1 });
        yield return Qcow("L1 wraps", FormatError.OutsideFile, new() { L1Offset = 0xFFFFFFFFFFFF0000 });
        yield return Qcow("L1 not aligned", FormatError.Misaligned, new() { L1Offset = 0x30001 });
        yield return Qcow("L1 past the end", FormatError.OutsideFile, new() { L1Offset = 0x100000 });
        yield return Qcow(
            "refcount table huge", FormatError.TableTooLarge, new() { RefcountTableClusters = uint.MaxValue });
        yield return Qcow(
            "refcount table past the end", FormatError.OutsideFile, new() { RefcountTableOffset = 1UL << 50 });
        yield return Qcow("snapshots huge", FormatError.TableTooLarge,
            new() { Snapshots = uint.MaxValue, SnapshotsOffset = 0x40000 });
        yield return Qcow("snapshots past the end", FormatError.OutsideFile,
            new() { Snapshots = 65536, SnapshotsOffset = 1UL << 55 });
    }

    private static IEnumerable<HostileImage> Vmdks()
    {
        yield return Vmdk("flat type", FormatError.DataFileRefused,
            new() { CreateType = "monolithicSparse", Extent = "RW 8 FLAT \"/etc/passwd\" 0" });
        yield return Vmdk("split flat", FormatError.UnsupportedFeature,
            new() { CreateType = "twoGbMaxExtentFlat", Extent = "RW 8 FLAT \"../../etc/passwd\" 0" });
        yield return Vmdk(
            "extent with a path", FormatError.DataFileRefused, new() { Extent = "RW 8 SPARSE \"../other.vmdk\"" });
        yield return Vmdk(
            "extent with a protocol", FormatError.DataFileRefused, new() { Extent = "RW 8 SPARSE \"nbd:x\"" });
        yield return Vmdk("two extents", FormatError.DataFileRefused, new() { MoreLines = "RW 8 SPARSE \"b.vmdk\"" });
        yield return Vmdk("no extent", FormatError.DataFileRefused, new() { Extent = "" });
        yield return Vmdk(
            "two types", FormatError.InvalidHeader, new() { MoreLines = "createType=\"monolithicFlat\"" });
        yield return Vmdk("strange line", FormatError.InvalidHeader, new() { MoreLines = "open sesame" });
        yield return Vmdk(
            "second descriptor", FormatError.InvalidHeader, new() { Leftover = "RW 8 FLAT \"/etc/shadow\" 0\n" });
        yield return Vmdk(
            "parent hint", FormatError.BackingFileRefused, new() { MoreLines = "parentFileNameHint=\"/etc/passwd\"" });
        yield return Vmdk("parent id", FormatError.BackingFileRefused, new() { ParentId = "12345678" });
        yield return Vmdk("descriptor huge", FormatError.TableTooLarge, new() { DescriptorSectors = 1UL << 60 });
        yield return Vmdk("descriptor elsewhere", FormatError.InvalidHeader, new() { DescriptorOffset = 1UL << 55 });
        yield return Vmdk("descriptor past the end", FormatError.Truncated, new() { DescriptorSectors = 2000 });
        yield return Vmdk("grain not a power of two", FormatError.InvalidHeader, new() { GrainSectors = 100 });
        yield return Vmdk("size huge", FormatError.VirtualSizeTooLarge, new() { CapacitySectors = ulong.MaxValue });
        yield return Vmdk("directory past the end", FormatError.OutsideFile, new() { DirectoryOffset = 1UL << 54 });
        yield return Vmdk("footer missing", FormatError.Truncated, new() { DirectoryOffset = ulong.MaxValue });
        yield return Vmdk("footer with another descriptor", FormatError.InvalidHeader,
            new() { DirectoryOffset = ulong.MaxValue, Footer = new() { DescriptorSectors = 40 } });
        yield return new("descriptor alone", "vmdk", FormatError.DataFileRefused, Encoding.ASCII.GetBytes(
            "# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"));
        yield return new("descriptor in disguise", "raw", FormatError.DataFileRefused, Encoding.ASCII.GetBytes(
            "#!/bin/sh\n   \n# hello\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"));
        yield return new("ESX extent", "vmdk", FormatError.UnsupportedFeature, Starting("COWD"u8, 4096));
    }

    private static IEnumerable<HostileImage> OtherContainers()
    {
        yield return new("qed", "raw", FormatError.FormatBanned, Starting("QED\0"u8, 4096));
        yield return Vhd("differencing VHD", FormatError.BackingFileRefused, new() { DiskType = 4 });
        yield return Vhd("VHD of unknown type", FormatError.UnsupportedFeature, new() { DiskType = 7 });
        yield return Vhd("VHD checksum", FormatError.InvalidHeader, new() { GoodChecksum = false });
        yield return Vhd("huge VHD", FormatError.VirtualSizeTooLarge, new() { DiskBytes = 1UL << 62 });
        yield return Vhd("VHD table too short", FormatError.InvalidHeader, new() { Entries = 1 });
        yield return Vhd("VHD table huge", FormatError.TableTooLarge, new() { Entries = uint.MaxValue });
        yield return Vhd("VHD table past the end", FormatError.OutsideFile, new() { TableOffset = 1UL << 40 });
        yield return Vhd("VHD block size", FormatError.InvalidHeader, new() { BlockBytes = 3 << 20 });
        yield return Vhd("VHD header elsewhere", FormatError.Truncated, new() { DataOffset = 1 << 30 });
        yield return Vhd("cut VHD", FormatError.Truncated, new() { HasEndFooter = false });
        yield return Vhd("fixed VHD of another length", FormatError.InvalidHeader,
            new() { DiskType = 2, DiskBytes = 8192, Content = new byte[4096] });
        yield return new("VHDX without headers", "vhdx", FormatError.InvalidHeader, Starting("vhdxfile"u8, 512 * 1024));
        yield return new("cut VHDX", "vhdx", FormatError.Truncated, Starting("vhdxfile"u8, 100 * 1024));
        yield return new(
            "VDI with nonsense", "vdi", FormatError.UnsupportedVersion, WithU32(new byte[4096], 0x40, 0xBEDA107F));
        yield return new("LUKS 2 as luks", "luks", FormatError.UnsupportedVersion, PlainDiskBytes.Luks(version: 2));
        yield return new(
            "LUKS without cipher", "luks", FormatError.InvalidHeader, PlainDiskBytes.Luks(1, "cipher_null"));
        yield return new("overlapping partitions", "gpt", FormatError.InvalidTableEntry, OverlappingPartitions());
    }

    private static IEnumerable<HostileImage> Polyglots()
    {
        var sound = new QcowBytes();
        yield return Qcow("qcow2 declared raw", FormatError.FormatMismatch, sound) with { DiskFormat = "raw" };
        yield return Qcow("qcow2 declared vmdk", FormatError.FormatMismatch, sound) with { DiskFormat = "vmdk" };
        yield return Qcow("qcow2 declared ami", FormatError.FormatMismatch, sound) with { DiskFormat = "ami" };
        yield return Qcow("hostile qcow2 declared raw", FormatError.BackingFileRefused,
            new() { Backing = "x" }) with
        { DiskFormat = "raw" };
        yield return new("VHD declared raw", "raw", FormatError.FormatMismatch, new VhdBytes().ToBytes());
        yield return new("fixed VHD declared raw", "raw", FormatError.FormatMismatch,
            new VhdBytes { DiskType = 2, DiskBytes = 4096, Content = new byte[4096] }.ToBytes());
        var withTable = sound.ToBytes();
        PlainDiskBytes.WriteMbr(withTable, type: 0x83, start: 64, sectors: 8);
        yield return new("qcow2 with partitions", "qcow2", FormatError.AmbiguousFormat, withTable);
        var withDisc = sound.ToBytes();
        PlainDiskBytes.WriteIsoDescriptor(withDisc, blocks: 160);
        yield return new("qcow2 with a disc", "iso", FormatError.AmbiguousFormat, withDisc);
        yield return new("qcow2 in front of a VHD footer", "vhd", FormatError.AmbiguousFormat,
            new VhdBytes { DiskType = 2, DiskBytes = 0x50000, Content = sound.ToBytes() }.ToBytes());
    }

    private static HostileImage Qcow(string name, FormatError expected, QcowBytes file) =>
        new(name, "qcow2", expected, file.ToBytes());

    private static HostileImage Vmdk(string name, FormatError expected, VmdkBytes file) =>
        new("VMDK, " + name, "vmdk", expected, file.ToBytes());

    private static HostileImage Vhd(string name, FormatError expected, VhdBytes file) =>
        new(name, "vhd", expected, file.ToBytes());

    private static byte[] Starting(ReadOnlySpan<byte> magic, int length)
    {
        var bytes = new byte[length];
        magic.CopyTo(bytes);
        return bytes;
    }

    private static byte[] WithU32(byte[] bytes, int offset, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset), value);
        return bytes;
    }

    private static byte[] OverlappingPartitions()
    {
        var disk = PlainDiskBytes.Mbr();
        disk.AsSpan(446, 16).CopyTo(disk.AsSpan(462));
        return disk;
    }
}
