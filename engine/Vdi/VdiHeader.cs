using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Vdi;

/// <summary>The header of a VirtualBox disk image. Little-endian.</summary>
/// <param name="Version">Major in the upper, minor in the lower 16 bits; 1.1 is read.</param>
/// <param name="ImageType">1 dynamic, 2 fixed; 3 and 4 build on another image.</param>
/// <param name="BlockMapOffset">First byte of the block map.</param>
/// <param name="DataOffset">First byte of the blocks.</param>
/// <param name="SectorBytes">512.</param>
/// <param name="DiskBytes">Virtual size in bytes.</param>
/// <param name="BlockBytes">1 MiB.</param>
/// <param name="BlockExtraBytes">Bytes in front of each block; 0.</param>
/// <param name="BlockCount">Blocks of the disk.</param>
/// <param name="AllocatedBlocks">Blocks stored in the file.</param>
/// <param name="LinkId">Identity of the image this one builds on; empty for none.</param>
/// <param name="ParentId">Identity of the parent's last change; empty for none.</param>
internal readonly record struct VdiHeader(
    uint Version, uint ImageType, uint BlockMapOffset, uint DataOffset, uint SectorBytes, ulong DiskBytes,
    uint BlockBytes, uint BlockExtraBytes, uint BlockCount, uint AllocatedBlocks, Guid LinkId, Guid ParentId)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 512;

    private const int MagicOffset = 0x40;
    private const uint Magic = 0xBEDA107F;
    private const uint Version11 = 0x00010001;
    private const uint TypeDynamic = 1;
    private const uint TypeFixed = 2;
    private const uint MaxBlocks = 0x1FFFFFFF;

    /// <summary>Whether bytes start with the header of this format.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) =>
        bytes.Length >= MagicOffset + 4 && BinaryPrimitives.ReadUInt32LittleEndian(bytes[MagicOffset..]) == Magic;

    /// <summary>Reads a header.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static VdiHeader Parse(ReadOnlySpan<byte> bytes) => new(
        Version: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x44..]),
        ImageType: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x4C..]),
        BlockMapOffset: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x154..]),
        DataOffset: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x158..]),
        SectorBytes: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x168..]),
        DiskBytes: BinaryPrimitives.ReadUInt64LittleEndian(bytes[0x170..]),
        BlockBytes: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x178..]),
        BlockExtraBytes: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x17C..]),
        BlockCount: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x180..]),
        AllocatedBlocks: BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x184..]),
        LinkId: new Guid(bytes.Slice(0x1A8, 16)),
        ParentId: new Guid(bytes.Slice(0x1B8, 16)));

    /// <summary>Refuses what is malformed, not supported, or builds on another image.</summary>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate()
    {
        if (Version != Version11)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion,
                $"VDI version {Version >> 16}.{Version & 0xFFFF} is not supported.", 0x44);
        }

        if (ImageType is not (TypeDynamic or TypeFixed) || LinkId != Guid.Empty || ParentId != Guid.Empty)
        {
            throw new ImageFormatException(
                FormatError.BackingFileRefused, "The VDI image builds on another image.", 0x4C);
        }

        if (BlockMapOffset % 512 != 0 || DataOffset % 512 != 0)
            throw new ImageFormatException(FormatError.Misaligned, "A VDI offset is not a multiple of 512.", 0x154);

        if (SectorBytes != 512 || BlockBytes != 1 << 20 || BlockExtraBytes != 0)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedFeature, "VDI images with blocks other than 1 MiB are not supported.", 0x168);
        }

        if (BlockCount > MaxBlocks)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"The VDI block map of {BlockCount} entries is too large.", 0x180);
        }

        if (DiskBytes > (ulong)BlockCount * BlockBytes || AllocatedBlocks > BlockCount)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The VDI block counts do not fit the disk.", 0x170);
        }

        if (BlockMapOffset < Size || BlockMapEnd > DataOffset)
        {
            throw new ImageFormatException(
                FormatError.OverlapsMetadata, "The VDI block map lies on something else.", 0x154);
        }
    }

    /// <summary>Whether every block is stored, in the disk's order.</summary>
    public bool IsFixed => ImageType == TypeFixed;

    /// <summary>First byte after the block map.</summary>
    public long BlockMapEnd => BlockMapOffset + ((long)BlockCount * sizeof(uint));
}
