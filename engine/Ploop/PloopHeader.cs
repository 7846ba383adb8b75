using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Ploop;

/// <summary>The header of a ploop image, which Parallels calls an expanding disk. Little-endian.</summary>
/// <remarks>
/// <code>
///   0  signature, 16 bytes      28  u32 sectors in a block     44  u32 mark of a disk in use
///  16  u32 version, 2           32  u32 blocks                 48  u32 first sector of the data
///  20  u32 heads, cylinders     36  u64 sectors of the disk    64  block table: u32 each
/// </code>
/// </remarks>
/// <param name="Version">2.</param>
/// <param name="BlockSectors">Guest sectors of 512 bytes in a block.</param>
/// <param name="BlockCount">Entries of the block table.</param>
/// <param name="DiskSectors">Virtual size in sectors of 512 bytes.</param>
/// <param name="InUse">The mark that a writer leaves until it closes the disk.</param>
internal readonly record struct PloopHeader(
    uint Version, uint BlockSectors, uint BlockCount, ulong DiskSectors, uint InUse)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 64;

    private const int SectorBytes = 512;
    private const uint InUseMark = 0x746F6E59;

    private static ReadOnlySpan<byte> Magic => "WithoutFreeSpace"u8;

    private static ReadOnlySpan<byte> ExtendedMagic => "WithouFreSpacExt"u8;

    /// <summary>Virtual size in bytes; all ones where that is more than 64 bits hold.</summary>
    public ulong DiskBytes => DiskSectors > ulong.MaxValue / SectorBytes ? ulong.MaxValue : DiskSectors * SectorBytes;

    /// <summary>First byte after the block table.</summary>
    public long BlockTableEnd => Size + ((long)BlockCount * sizeof(uint));

    /// <summary>Whether bytes start with a header.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith(Magic) || bytes.StartsWith(ExtendedMagic);

    /// <summary>Reads a header.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static PloopHeader Parse(ReadOnlySpan<byte> bytes) => new(
        Version: BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]),
        BlockSectors: BinaryPrimitives.ReadUInt32LittleEndian(bytes[28..]),
        BlockCount: BinaryPrimitives.ReadUInt32LittleEndian(bytes[32..]),

        // The older signature's number of sectors has 32 bits; what is behind them means nothing.
        DiskSectors: bytes.StartsWith(ExtendedMagic)
            ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[36..])
            : BinaryPrimitives.ReadUInt32LittleEndian(bytes[36..]),
        InUse: BinaryPrimitives.ReadUInt32LittleEndian(bytes[44..]));

    /// <summary>Refuses what is malformed, not supported, or was not closed.</summary>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate()
    {
        if (Version != 2)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"Ploop version {Version} is not supported.", 16);
        }

        if (InUse == InUseMark)
            throw new ImageFormatException(FormatError.DirtyImage, "The ploop image was not closed.", 44);

        if (BlockSectors == 0 || DiskSectors > (ulong)BlockCount * BlockSectors)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The ploop block table does not cover the disk.", 28);
        }
    }
}
