namespace Registry.Hostile;

/// <summary>A VDI. Sound unless told otherwise: a dynamic disk of 2 MiB whose first block is stored.</summary>
internal sealed record VdiBytes
{
    public const int Map = 512;

    public uint Version { get; init; } = 0x00010001;
    public uint ImageType { get; init; } = 1;
    public uint MapOffset { get; init; } = Map;
    public uint DataOffset { get; init; } = 1024;
    public uint SectorBytes { get; init; } = 512;
    public ulong DiskBytes { get; init; } = 2 << 20;
    public uint BlockBytes { get; init; } = 1 << 20;
    public uint BlockExtraBytes { get; init; }
    public uint Blocks { get; init; } = 2;
    public uint Allocated { get; init; } = 1;
    public uint LinkId { get; init; }
    public uint ParentId { get; init; }
    public uint FirstBlock { get; init; }
    public uint SecondBlock { get; init; } = uint.MaxValue;
    public int FileBytes { get; init; } = 1024 + (1 << 20);

    public byte[] ToBytes() => new byte[FileBytes]
        .Text(0, "<<< disk image >>>\n")
        .Little32(0x40, 0xBEDA107F)             // signature
        .Little32(0x44, Version)
        .Little32(0x48, 400)                    // header size
        .Little32(0x4C, ImageType)
        .Little32(0x154, MapOffset)
        .Little32(0x158, DataOffset)
        .Little32(0x168, SectorBytes)
        .Little64(0x170, DiskBytes)
        .Little32(0x178, BlockBytes)
        .Little32(0x17C, BlockExtraBytes)
        .Little32(0x180, Blocks)
        .Little32(0x184, Allocated)
        .Little32(0x1A8, LinkId)
        .Little32(0x1B8, ParentId)
        .Little32(Map, FirstBlock)
        .Little32(Map + 4, SecondBlock);
}
