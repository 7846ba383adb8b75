using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>Everything else that has a header: VHD, VHDX, VDI, QED, LUKS, partition tables.</content>
internal sealed partial record HostileImage
{
    private static IEnumerable<HostileImage> OtherContainers()
    {
        yield return new("qed", "raw", FormatError.FormatBanned, () => Starting("QED\0"u8, 4096));
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
        yield return new("VHDX without headers", "vhdx", FormatError.InvalidHeader, () => Starting("vhdxfile"u8, 512 * 1024));
        yield return new("cut VHDX", "vhdx", FormatError.Truncated, () => Starting("vhdxfile"u8, 100 * 1024));
        yield return new(
            "VDI with nonsense", "vdi", FormatError.UnsupportedVersion, () => new byte[4096].Little32(0x40, 0xBEDA107F));
        yield return new("LUKS 2 as luks", "luks", FormatError.UnsupportedVersion, () => PlainDiskBytes.Luks(version: 2)) { IsFineAsRaw = true };
        yield return new(
            "LUKS without cipher", "luks", FormatError.InvalidHeader, () => PlainDiskBytes.Luks(1, "cipher_null")) { IsFineAsRaw = true };
        yield return new("overlapping partitions", "gpt", FormatError.InvalidTableEntry, OverlappingPartitions) { IsFineAsRaw = true };
    }
}
