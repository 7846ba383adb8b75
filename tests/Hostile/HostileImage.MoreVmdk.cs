using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>VMDK: more headers and descriptors, and grain tables.</content>
internal sealed partial record HostileImage
{
    private const int Sector = 512;
    private const int Directory = 21 * Sector;
    private const int GrainTable = 24 * Sector;

    private static IEnumerable<HostileImage> MoreVmdks()
    {
        yield return Vmdk("version 4", FormatError.UnsupportedVersion, new() { Version = 4 });
        yield return Vmdk("version 0", FormatError.UnsupportedVersion, new() { Version = 0 });
        yield return Vmdk("no grain", FormatError.InvalidHeader, new() { GrainSectors = 0 });
        yield return Vmdk("grain of 2^63", FormatError.InvalidHeader, new() { GrainSectors = 1UL << 63 });
        yield return Vmdk("grain of 2^32 and 128", FormatError.InvalidHeader, new() { GrainSectors = (1UL << 32) | 128 });
        yield return Vmdk("no table entries", FormatError.TableTooLarge, new() { TableEntries = 0 });
        yield return Vmdk("table entries of 4 GiB", FormatError.TableTooLarge, new() { TableEntries = uint.MaxValue });
        yield return Vmdk("directory of 2 GiB", FormatError.TableTooLarge,
            new() { CapacitySectors = 1UL << 41, GrainSectors = 8 });
        yield return Vmdk("capacity that wraps", FormatError.VirtualSizeTooLarge, new() { CapacitySectors = 1UL << 55 });
        yield return Vmdk("descriptor at the header", FormatError.InvalidHeader, new() { DescriptorOffset = 0 });
        yield return Vmdk("descriptor of 2^32 and 20", FormatError.TableTooLarge,
            new() { DescriptorSectors = (1UL << 32) | 20 });
        yield return Vmdk("no descriptor", FormatError.TableTooLarge, new() { DescriptorSectors = 0 });
        yield return Vmdk("directory 2^32 further", FormatError.OutsideFile, new() { DirectoryOffset = (1UL << 32) | 21 });
        yield return Vmdk("extent with a drive", FormatError.DataFileRefused, new() { Extent = "RW 8 SPARSE \"c:x\"" });
        yield return Vmdk("extent json", FormatError.DataFileRefused, new() { Extent = "RW 8 SPARSE \"json:{}\"" });
        yield return Vmdk("extent without a name", FormatError.DataFileRefused, new() { Extent = "RW 8 SPARSE" });
        yield return Vmdk("extent of zeroes", FormatError.DataFileRefused, new() { Extent = "RW 8 ZERO" });
        yield return Vmdk("extent of a device", FormatError.DataFileRefused,
            new() { Extent = "RW 8 VMFSRDM \"/dev/sda\"" });
        yield return Vmdk("extent of less than nothing", FormatError.DataFileRefused,
            new() { Extent = "RW -8 SPARSE \"disk.vmdk\"" });
        yield return Vmdk("second extent in lower case", FormatError.DataFileRefused,
            new() { MoreLines = "rw 8 flat \"/etc/passwd\" 0" });
        yield return Vmdk("parent hint in upper case", FormatError.BackingFileRefused,
            new() { MoreLines = "PARENTFILENAMEHINT=\"/etc/passwd\"" });
        yield return Vmdk("extent larger than the disk", FormatError.InvalidHeader,
            new() { Extent = "RW 4096 SPARSE \"disk.vmdk\"" });
        yield return Vmdk("extent with a path beyond ASCII", FormatError.DataFileRefused,
            new() { Extent = "RW 8 SPARSE \"\u00FC/x.vmdk\"" });
        yield return Vmdk("extent with a backslash", FormatError.DataFileRefused,
            new() { Extent = "RW 8 SPARSE \"x\\x.vmdk\"" });
        foreach (var type in new[] { "monolithicFlat", "vmfsRaw", "fullDevice", "seSparse", "custom", "nonsense" })
            yield return Vmdk("type " + type, FormatError.UnsupportedFeature, new() { CreateType = type });
    }

    private static IEnumerable<HostileImage> VmdkMaps()
    {
        yield return Grains("table at 2 TiB", FormatError.OutsideFile, (Directory, 0xFFFFFFFF));
        yield return Grains("table past the end", FormatError.OutsideFile, (Directory, 5000));
        yield return Grains("grain past the end", FormatError.OutsideFile, (Directory, 24), (GrainTable, 5000));
        yield return Grains("grain at 2 TiB", FormatError.OutsideFile, (Directory, 24), (GrainTable, 0xFFFFFFFF));
        yield return Grains("grain on the descriptor", FormatError.OverlapsMetadata, (Directory, 24), (GrainTable, 2));
        yield return Grains("grain on the directory", FormatError.OverlapsMetadata, (Directory, 24), (GrainTable, 21));
        yield return new("VMDK, grain on its table", "vmdk", FormatError.OverlapsMetadata, () => Large(new VmdkBytes())
            .Little32(Directory, 24).Little32(GrainTable, 24)) { NeedsMap = true };
        yield return new("VMDK, one grain twice", "vmdk", FormatError.SharedCluster, () => Large(new VmdkBytes())
            .Little32(Directory, 24).Little32(GrainTable, 128).Little32(GrainTable + 4, 128)) { NeedsMap = true };
        yield return new("VMDK, half a grain twice", "vmdk", FormatError.SharedCluster, () => Large(new VmdkBytes())
            .Little32(Directory, 24).Little32(GrainTable, 128).Little32(GrainTable + 4, 192)) { NeedsMap = true };
        yield return Vmdk("directory on the header", FormatError.OutsideFile, new() { DirectoryOffset = 0 })
            with { NeedsMap = true };
        yield return new("VMDK, first grain outside", "vmdk", FormatError.Truncated,
            () => new VmdkBytes().ToBytes().Little64(64, 1UL << 40)) { NeedsMap = true };
        yield return new("VMDK, compression unknown", "vmdk", FormatError.UnsupportedFeature,
            () => new VmdkBytes().ToBytes().Little32(76, 2 << 8));
    }

    private static byte[] Large(VmdkBytes file) => [.. file.ToBytes(), .. new byte[1 << 18]];

    private static HostileImage Grains(string name, FormatError expected, params (int At, uint Value)[] words) =>
        new("VMDK, " + name, "vmdk", expected, () =>
        {
            var bytes = new VmdkBytes().ToBytes();
            foreach (var (at, value) in words)
                bytes.Little32(at, value);
            return bytes;
        })
        { NeedsMap = true };
}
