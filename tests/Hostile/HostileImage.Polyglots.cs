using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <content>Files that are two things at once, or another thing than they say.</content>
internal sealed partial record HostileImage
{
    private static IEnumerable<HostileImage> Polyglots()
    {
        var sound = new QcowBytes();
        yield return Qcow("qcow2 declared raw", FormatError.FormatMismatch, sound) with { DiskFormat = "raw" };
        yield return Qcow("qcow2 declared vmdk", FormatError.FormatMismatch, sound) with { DiskFormat = "vmdk" };
        yield return Qcow("qcow2 declared ami", FormatError.FormatMismatch, sound) with { DiskFormat = "ami" };
        yield return Qcow("hostile qcow2 declared raw", FormatError.BackingFileRefused, new() { Backing = "x" })
            with { DiskFormat = "raw" };
        yield return new("VHD declared raw", "raw", FormatError.FormatMismatch, new VhdBytes().ToBytes);
        yield return new("fixed VHD declared raw", "raw", FormatError.FormatMismatch, new byte[4096].AsFixedVhd);
        yield return new("qcow2 with partitions", "qcow2", FormatError.AmbiguousFormat,
            () => sound.ToBytes().AsPartitioned());
        yield return new("qcow2 with a disc", "iso", FormatError.AmbiguousFormat, () => sound.ToBytes().AsDisc());
        yield return new("qcow2 in front of a VHD footer", "vhd", FormatError.AmbiguousFormat,
            () => sound.ToBytes().AsFixedVhd());
    }

    private static IEnumerable<HostileImage> MorePolyglots()
    {
        var overlay = new QcowBytes { Backing = "/etc/passwd" };
        yield return Both("overlay with a GPT", "raw", () => overlay.ToBytes().AsGpt());
        yield return Both("overlay with a disc", "iso", () => overlay.ToBytes().AsDisc());
        yield return Both("overlay in front of a VHD footer", "vhd", () => overlay.ToBytes().AsFixedVhd());
        yield return Both("qcow2 with a VDI signature", "qcow2", () => new QcowBytes().ToBytes().Little32(0x40, 0xBEDA107F));
        yield return Both("VMDK with partitions", "vmdk", () => new VmdkBytes().ToBytes().AsPartitioned());
        yield return Both("VMDK with a disc", "vmdk", () => new VmdkBytes().ToBytes().AsDisc());
        yield return Both("VMDK with a disc, declared iso", "iso", () => new VmdkBytes().ToBytes().AsDisc());
        yield return Both("VMDK in front of a VHD footer", "vmdk", () => new VmdkBytes().ToBytes().AsFixedVhd());
        yield return Both("VHDX with a disc", "vhdx", () => new VhdxBytes().ToBytes().AsDisc());
        yield return Both("VHDX in front of a VHD footer", "vhdx", () => new VhdxBytes().ToBytes().AsFixedVhd());
        yield return Both("VHDX with a GPT", "vhdx", () => new VhdxBytes().ToBytes().AsGpt());
        yield return Both("VDI with a disc", "vdi", () => new VdiBytes().ToBytes().AsDisc());
        yield return Both("VDI in front of a VHD footer", "vdi", () => new VdiBytes().ToBytes().AsFixedVhd());
        yield return Both("dynamic VHD with a disc", "vhd", () => new VhdBytes().ToBytes().AsDisc());
        yield return Both("LUKS with a disc", "luks", () => PlainDiskBytes.Luks(1).AsDisc())
            with { Expected = FormatError.FormatMismatch };
        yield return Both("LUKS with partitions", "luks", () => PlainDiskBytes.Luks(1).AsPartitioned())
            with { Expected = FormatError.FormatMismatch };
        yield return Both("LUKS with a disc, declared raw", "raw", () => PlainDiskBytes.Luks(1).AsDisc());
        yield return Both("LUKS with a VDI signature", "luks", () => PlainDiskBytes.Luks(1).Little32(0x40, 0xBEDA107F));
        yield return Both("LUKS in front of a VHD footer", "luks", () => PlainDiskBytes.Luks(1).AsFixedVhd())
            with { Expected = FormatError.FormatMismatch };
        yield return Both("VHD footer behind an overlay, declared raw", "raw", () => overlay.ToBytes().AsFixedVhd());
        yield return new("QED with a disc", "iso", FormatError.AmbiguousFormat,
            () => Starting("QED\0"u8, 4096).AsDisc());

        foreach (var declared in new[] { "raw", "iso", "ami" })
        {
            yield return new($"VMDK declared {declared}", declared, FormatError.FormatMismatch, new VmdkBytes().ToBytes);
            yield return new($"VHDX declared {declared}", declared, FormatError.FormatMismatch, new VhdxBytes().ToBytes);
            yield return new($"VDI declared {declared}", declared, FormatError.FormatMismatch, new VdiBytes().ToBytes);
        }

        yield return Other("LUKS declared qcow2", "qcow2", () => PlainDiskBytes.Luks(1));
        yield return Other("disc declared qcow2", "qcow2", PlainDiskBytes.Iso);
        yield return Other("GPT disk declared vhd", "vhd", PlainDiskBytes.Gpt);
    }

    private static HostileImage Both(string name, string diskFormat, Func<byte[]> make) =>
        new(name, diskFormat, FormatError.AmbiguousFormat, make);

    private static HostileImage Other(string name, string diskFormat, Func<byte[]> make) =>
        new(name, diskFormat, FormatError.FormatMismatch, make) { IsFineAsRaw = true };
}
