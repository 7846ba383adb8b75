using Registry.Engine.Disks;

namespace Registry.Engine.Inspect;

/// <summary>What formats are called in the image API, and of which kind they are.</summary>
public static class FormatNames
{
    /// <summary>The name as in <c>disk_format</c>.</summary>
    /// <param name="format">A format; <see cref="DiskFormat.Qed"/>, which is never accepted, has a name for
    /// messages.</param>
    public static string Of(DiskFormat format) => format switch
    {
        DiskFormat.Raw => "raw",
        DiskFormat.Qcow2 => "qcow2",
        DiskFormat.Vmdk => "vmdk",
        DiskFormat.Vhd => "vhd",
        DiskFormat.Vhdx => "vhdx",
        DiskFormat.Vdi => "vdi",
        DiskFormat.Qed => "qed",
        DiskFormat.Iso => "iso",
        DiskFormat.Gpt => "gpt",
        DiskFormat.Luks => "luks",
        DiskFormat.Ploop => "ploop",
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "Not a disk format."),
    };

    /// <summary>Whether the format is a container around a disk, with tables of its own, and not a disk's plain
    /// bytes.</summary>
    /// <param name="format">A format.</param>
    public static bool IsContainer(DiskFormat format) => format is DiskFormat.Qcow2 or DiskFormat.Vmdk or DiskFormat.Vhd
        or DiskFormat.Vhdx or DiskFormat.Vdi or DiskFormat.Qed or DiskFormat.Ploop;
}
