using System.Text;
using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>VMDK: headers and descriptors.</content>
internal sealed partial record HostileImage
{
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
        yield return new("descriptor alone", "vmdk", FormatError.DataFileRefused, () => Encoding.ASCII.GetBytes(
            "# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"));
        yield return new("descriptor in disguise", "raw", FormatError.DataFileRefused, () => Encoding.ASCII.GetBytes(
            "#!/bin/sh\n   \n# hello\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"));
        yield return new("ESX extent", "vmdk", FormatError.UnsupportedFeature, () => Starting("COWD"u8, 4096));
    }
}
