using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>VHD, VHDX and VDI: every number that leads somewhere, leading somewhere else.</content>
internal sealed partial record HostileImage
{
    private const int VhdTable = 1536;

    private static IEnumerable<HostileImage> Vhds()
    {
        yield return Vhd("VHD header 4 GiB further", FormatError.InvalidHeader, new() { DataOffset = (1UL << 32) | 512 });
        yield return Vhd("VHD header on the footer", FormatError.InvalidHeader, new() { DataOffset = 0 });
        yield return Vhd("VHD header nowhere", FormatError.InvalidHeader, new() { DataOffset = ulong.MaxValue });
        yield return Vhd("VHD table 4 GiB further", FormatError.OutsideFile, new() { TableOffset = (1UL << 32) | VhdTable });
        yield return Vhd("VHD table that wraps", FormatError.OutsideFile, new() { TableOffset = ulong.MaxValue - 511 });
        yield return Vhd("VHD table not aligned", FormatError.Misaligned, new() { TableOffset = 1537 });
        yield return Vhd("VHD of 2^32 times its table", FormatError.InvalidHeader, new() { DiskBytes = (1UL << 32) | (4 << 20) });
        yield return Vhd("VHD block of nothing", FormatError.InvalidHeader, new() { BlockBytes = 0 });
        yield return Vhd("VHD block of 2 GiB", FormatError.InvalidHeader, new() { BlockBytes = 1U << 31 });
        yield return new("VHD footer of another disk", "vhd", FormatError.InvalidHeader, () =>
            [.. new VhdBytes().ToBytes()[..^512], .. new VhdBytes { DiskBytes = 2 << 20 }.ToBytes()[..512]]);
        yield return new("VHD with a dynamic footer alone", "vhd", FormatError.InvalidHeader, () =>
            [.. new byte[4096], .. new VhdBytes().ToBytes()[..512]]);
        yield return new("VHD footer of zeroes", "vhd", FormatError.UnsupportedVersion, () => Starting("conectix"u8, 4096));
        yield return Blocks("VHD block past the end", FormatError.OutsideFile, (VhdTable, 5000));
        yield return Blocks("VHD block at 2 TiB", FormatError.OutsideFile, (VhdTable, 0xFFFFFFFE));
        yield return Blocks("VHD block on the footer's copy", FormatError.OverlapsMetadata, (VhdTable, 0));
        yield return Blocks("VHD block on the table", FormatError.OverlapsMetadata, (VhdTable, 3));
        yield return Blocks("VHD block twice", FormatError.SharedCluster, (VhdTable, 5), (VhdTable + 4, 5));
        yield return Blocks("VHD block on half of another", FormatError.SharedCluster, (VhdTable, 5), (VhdTable + 4, 100));

        static HostileImage Blocks(string name, FormatError expected, params (int At, uint Value)[] words) =>
            new(name, "vhd", expected, () =>
            {
                var small = new VhdBytes().ToBytes();
                byte[] bytes = [.. small[..^512], .. new byte[(2 << 20) + (1 << 19)], .. small[^512..]];
                foreach (var (at, value) in words)
                    bytes.Big32(at, value);
                return bytes;
            })
            { NeedsMap = true };
    }

    private static IEnumerable<HostileImage> Vhdxs()
    {
        yield return Vhdx("version 2", FormatError.UnsupportedVersion, new() { Version = 2 });
        yield return Vhdx("log to be replayed", FormatError.DirtyImage, new() { LogId = 1 });
        yield return Vhdx("no header", FormatError.InvalidHeader, new() { HasHeaders = false });
        yield return Vhdx("4 Gi regions", FormatError.TableTooLarge, new() { RegionCount = uint.MaxValue });
        yield return Vhdx("no regions", FormatError.InvalidHeader, new() { RegionCount = 0 });
        yield return Vhdx("a strange region", FormatError.UnknownFeature, new() { RegionCount = 3, HasStrangeRegion = true });
        yield return Vhdx("table in the headers", FormatError.Misaligned, new() { TableOffset = 0 });
        yield return Vhdx("table not aligned", FormatError.Misaligned, new() { TableOffset = (2 << 20) + 512 });
        yield return Vhdx("table past the end", FormatError.OutsideFile, new() { TableOffset = 1UL << 40 });
        yield return Vhdx("table that wraps", FormatError.OutsideFile, new() { TableOffset = 0xFFFF_FFFF_FFF0_0000 });
        yield return Vhdx("table 4 GiB further", FormatError.OutsideFile, new() { TableOffset = (1UL << 32) | (2 << 20) });
        yield return Vhdx("table of 4 GiB", FormatError.OutsideFile, new() { TableLength = 0xFFF00000 });
        yield return Vhdx("table of nothing", FormatError.Misaligned, new() { TableLength = 0 });
        yield return Vhdx("metadata past the end", FormatError.OutsideFile, new() { MetadataOffset = 1UL << 40 });
        yield return Vhdx("metadata on the table", FormatError.BadMagic, new() { MetadataOffset = 2 << 20 });
        yield return Vhdx("metadata without signature", FormatError.BadMagic, new() { MetadataMagic = "metadatA" });
        yield return Vhdx("64 Ki items", FormatError.TableTooLarge, new() { ItemCount = ushort.MaxValue });
        yield return Vhdx("no items", FormatError.InvalidHeader, new() { ItemCount = 0 });
        yield return Vhdx("item on the table of items", FormatError.InvalidTableEntry, new() { ItemOffset = 0 });
        yield return Vhdx("item past the end", FormatError.InvalidTableEntry, new() { ItemOffset = uint.MaxValue - 3 });
        yield return Vhdx("parent flag", FormatError.BackingFileRefused, new() { Flags = 2 });
        yield return Vhdx("parent locator", FormatError.BackingFileRefused,
            new() { ItemCount = 4, MoreItem = VhdxBytes.ParentLocator });
        yield return Vhdx("a strange item", FormatError.UnknownFeature,
            new() { ItemCount = 4, MoreItem = new("11111111-2222-3333-4444-555555555555") });
        yield return Vhdx("block of nothing", FormatError.InvalidHeader, new() { BlockBytes = 0 });
        yield return Vhdx("block of 512 MiB", FormatError.InvalidHeader, new() { BlockBytes = 1 << 29 });
        yield return Vhdx("sector of 1 byte", FormatError.InvalidHeader, new() { SectorBytes = 1 });
        yield return Vhdx("sector of nothing", FormatError.InvalidHeader, new() { SectorBytes = 0 });
        yield return Vhdx("disk of all ones", FormatError.VirtualSizeTooLarge, new() { DiskBytes = ulong.MaxValue });
        yield return Vhdx("disk of half a sector", FormatError.InvalidHeader, new() { DiskBytes = (2 << 20) + 1 });
        yield return VhdxMap("disk of 64 TiB, table of 1 MiB", FormatError.InvalidHeader, new() { DiskBytes = 64UL << 40 });
        yield return VhdxMap("block past the end", FormatError.OutsideFile, new() { FirstBlock = (1UL << 40) | VhdxBytes.Present });
        yield return VhdxMap("block far away", FormatError.OutsideFile, new() { FirstBlock = 0xFFFF_FFFF_FFF0_0006 });
        yield return VhdxMap("block 4 GiB further", FormatError.OutsideFile, new() { FirstBlock = (1UL << 32) | (3 << 20) | VhdxBytes.Present });
        yield return VhdxMap("block on the headers", FormatError.OverlapsMetadata, new() { FirstBlock = VhdxBytes.Present });
        yield return VhdxMap("block on the metadata", FormatError.OverlapsMetadata, new() { FirstBlock = (1 << 20) | VhdxBytes.Present });
        yield return VhdxMap("block on the table", FormatError.OverlapsMetadata, new() { FirstBlock = (2 << 20) | VhdxBytes.Present });
        yield return VhdxMap("block twice", FormatError.SharedCluster, new() { SecondBlock = (3 << 20) | VhdxBytes.Present });
        yield return VhdxMap("block in a parent", FormatError.InvalidTableEntry, new() { FirstBlock = (3 << 20) | 7 });
        yield return VhdxMap("block in no state", FormatError.InvalidTableEntry, new() { FirstBlock = (3 << 20) | 4 });
    }

    private static IEnumerable<HostileImage> Vdis()
    {
        yield return Vdi("version 2", FormatError.UnsupportedVersion, new() { Version = 2 << 16 });
        yield return Vdi("undo image", FormatError.BackingFileRefused, new() { ImageType = 3 });
        yield return Vdi("differencing", FormatError.BackingFileRefused, new() { ImageType = 4 });
        yield return Vdi("of no type", FormatError.BackingFileRefused, new() { ImageType = 9 });
        yield return Vdi("with a link", FormatError.BackingFileRefused, new() { LinkId = 1 });
        yield return Vdi("with a parent", FormatError.BackingFileRefused, new() { ParentId = 1 });
        yield return Vdi("map on the header", FormatError.OverlapsMetadata, new() { MapOffset = 0 });
        yield return Vdi("map not aligned", FormatError.Misaligned, new() { MapOffset = 513 });
        yield return Vdi("map behind the data", FormatError.OverlapsMetadata, new() { MapOffset = 4096 });
        yield return Vdi("map past the end", FormatError.Truncated, new() { MapOffset = 1U << 31, DataOffset = 1U << 31 | 512 });
        yield return Vdi("data on the header", FormatError.OverlapsMetadata, new() { DataOffset = 0 });
        yield return Vdi("map of 2^32 bytes", FormatError.TableTooLarge, new() { Blocks = 1U << 30 });
        yield return Vdi("map of all ones", FormatError.TableTooLarge, new() { Blocks = uint.MaxValue });
        yield return Vdi("map over the data", FormatError.OverlapsMetadata, new() { Blocks = 1 << 20 });
        yield return Vdi("map too short", FormatError.InvalidHeader, new() { Blocks = 1 });
        yield return Vdi("disk of 2^32 times its map", FormatError.InvalidHeader, new() { DiskBytes = (1UL << 32) | (2 << 20) });
        yield return Vdi("disk of all ones", FormatError.InvalidHeader, new() { DiskBytes = ulong.MaxValue });
        yield return Vdi("more blocks than blocks", FormatError.InvalidHeader, new() { Allocated = 3 });
        yield return Vdi("blocks of 2 MiB", FormatError.UnsupportedFeature, new() { BlockBytes = 2 << 20 });
        yield return Vdi("blocks of nothing", FormatError.UnsupportedFeature, new() { BlockBytes = 0 });
        yield return Vdi("blocks with more in front", FormatError.UnsupportedFeature, new() { BlockExtraBytes = 512 });
        yield return Vdi("sectors of 4096", FormatError.UnsupportedFeature, new() { SectorBytes = 4096 });
        yield return Vdi("cut", FormatError.Truncated, new() { MapOffset = 1024, DataOffset = 1536, FileBytes = 1025 });
        yield return VdiMap("block past the end", FormatError.OutsideFile, new() { FirstBlock = 1 });
        yield return VdiMap("block at 4 PiB", FormatError.OutsideFile, new() { FirstBlock = 0xFFFFFFFD });
        yield return VdiMap("block twice", FormatError.SharedCluster, new() { SecondBlock = 0 });
    }

    private static HostileImage Vhdx(string name, FormatError expected, VhdxBytes file) =>
        new("VHDX, " + name, "vhdx", expected, file.ToBytes);

    private static HostileImage VhdxMap(string name, FormatError expected, VhdxBytes file) =>
        Vhdx(name, expected, file) with { NeedsMap = true };

    private static HostileImage Vdi(string name, FormatError expected, VdiBytes file) =>
        new("VDI, " + name, "vdi", expected, file.ToBytes);

    private static HostileImage VdiMap(string name, FormatError expected, VdiBytes file) =>
        Vdi(name, expected, file) with { NeedsMap = true };
}
