namespace Registry.Hostile;

/// <summary>A ploop image. Sound unless told otherwise: an empty disk of 4 MiB in blocks of 1 MiB.</summary>
internal sealed record PloopBytes
{
    /// <summary>The signature of disks whose size has 64 bits.</summary>
    public const string Extended = "WithouFreSpacExt";

    public string Magic { get; init; } = "WithoutFreeSpace";
    public uint Version { get; init; } = 2;
    public uint BlockSectors { get; init; } = 2048;
    public uint Blocks { get; init; } = 4;
    public ulong DiskSectors { get; init; } = 8192;
    public uint InUse { get; init; }

    public byte[] ToBytes() => new byte[4096]
        .Text(0, Magic)
        .Little32(16, Version)
        .Little32(20, 16)                       // heads
        .Little32(24, 16)                       // cylinders
        .Little32(28, BlockSectors)
        .Little32(32, Blocks)
        .Little64(36, DiskSectors)
        .Little32(44, InUse);
}
