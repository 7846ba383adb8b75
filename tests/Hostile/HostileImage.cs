using Registry.Engine.Disks;

namespace Registry.Hostile;

/// <summary>A file that must be refused, what it is declared to be, and why it is refused.</summary>
/// <param name="Name">What is wrong with it.</param>
/// <param name="DiskFormat">The <c>disk_format</c> it is declared to have.</param>
/// <param name="Expected">The reason.</param>
/// <param name="Make">Makes its bytes.</param>
internal sealed partial record HostileImage(string Name, string DiskFormat, FormatError Expected, Func<byte[]> Make)
{
    /// <summary>What the files name outside themselves: none of it may be opened or connected to.</summary>
    public static IReadOnlyList<string> NamedThings { get; } =
    [
        "/etc/passwd", "/etc/shadow", "/proc/self/environ", "/dev/sda", "/dev/fdset", "other.vmdk", "b.vmdk",
        "parent.vhd", "host_device", "json:", "nbd:", "10809", "rbd:", "ssh:", "http:", "169.254.169.254",
    ];

    /// <summary>Whether the file may be stored as plain bytes: nothing in it is a container.</summary>
    public bool IsFineAsRaw { get; init; }

    /// <summary>Whether the header is sound and only a look at the whole map tells.</summary>
    public bool NeedsMap { get; init; }

    /// <summary>Its bytes, made anew.</summary>
    public byte[] Bytes => Make();

    /// <summary>All of them.</summary>
    public static IReadOnlyList<HostileImage> All() =>
    [
        .. References(), .. MoreReferences(), .. Fields(), .. MoreFields(), .. Tables(), .. MoreTables(),
        .. QcowMaps(), .. QcowAmplifiers(), .. Vmdks(), .. MoreVmdks(), .. VmdkMaps(), .. OtherContainers(),
        .. Vhds(), .. Vhdxs(), .. Vdis(), .. Ploops(), .. PlainDisks(), .. NoDisks(), .. Polyglots(), .. MorePolyglots(),
    ];

    /// <inheritdoc/>
    public override string ToString() => Name;

    private static HostileImage Qcow(string name, FormatError expected, QcowBytes file) =>
        new(name, "qcow2", expected, file.ToBytes);

    private static HostileImage Vmdk(string name, FormatError expected, VmdkBytes file) =>
        new("VMDK, " + name, "vmdk", expected, file.ToBytes);

    private static HostileImage Vhd(string name, FormatError expected, VhdBytes file) =>
        new(name, "vhd", expected, file.ToBytes);

    private static byte[] Starting(ReadOnlySpan<byte> magic, int length)
    {
        var bytes = new byte[length];
        magic.CopyTo(bytes);
        return bytes;
    }

    private static byte[] OverlappingPartitions()
    {
        var disk = PlainDiskBytes.Mbr();
        disk.AsSpan(446, 16).CopyTo(disk.AsSpan(462));
        return disk;
    }
}
