using System.Buffers.Binary;
using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhd;

/// <summary>The header of a dynamic VHD. Big-endian.</summary>
/// <param name="HasMagic">Whether it starts with "cxsparse".</param>
/// <param name="TableOffset">First byte of the block table.</param>
/// <param name="EntryCount">Entries of the block table.</param>
/// <param name="BlockBytes">Guest bytes in a block, a power of two.</param>
/// <param name="Checksum">The sum as stored.</param>
/// <param name="ComputedChecksum">The sum as it should be.</param>
internal readonly record struct VhdDynamicHeader(
    bool HasMagic, ulong TableOffset, uint EntryCount, uint BlockBytes, uint Checksum, uint ComputedChecksum)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 1024;

    private const int ChecksumOffset = 36;
    private const long MaxTableBytes = 32 << 20;
    private const uint MaxBlockBytes = 256 << 20;

    /// <summary>Bytes of the sector bitmap in front of each block.</summary>
    public int BitmapBytes => ((int)(BlockBytes / (8 * 512)) + 511) & ~511;

    /// <summary>First byte after the block table.</summary>
    public ulong TableEnd => TableOffset + ((ulong)EntryCount * sizeof(uint));

    /// <summary>Reads a header.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static VhdDynamicHeader Parse(ReadOnlySpan<byte> bytes) => new(
        HasMagic: bytes.StartsWith("cxsparse"u8),
        TableOffset: BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]),
        EntryCount: BinaryPrimitives.ReadUInt32BigEndian(bytes[28..]),
        BlockBytes: BinaryPrimitives.ReadUInt32BigEndian(bytes[32..]),
        Checksum: BinaryPrimitives.ReadUInt32BigEndian(bytes[ChecksumOffset..]),
        ComputedChecksum: VhdChecksum.Compute(bytes[..Size], ChecksumOffset));

    /// <summary>Refuses what is malformed.</summary>
    /// <param name="diskBytes">Virtual size in bytes, which the blocks must cover.</param>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate(ulong diskBytes)
    {
        if (!HasMagic || Checksum != ComputedChecksum)
            throw new ImageFormatException(FormatError.InvalidHeader, "The dynamic header of the VHD is malformed.");

        if (!BitOperations.IsPow2(BlockBytes) || BlockBytes is < 4096 or > MaxBlockBytes)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, $"A VHD block size of {BlockBytes} bytes is not legal.");
        }

        if ((long)EntryCount * sizeof(uint) > MaxTableBytes)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, $"The VHD block table of {EntryCount} entries is too large.");
        }

        if ((ulong)EntryCount * BlockBytes < diskBytes)
            throw new ImageFormatException(FormatError.InvalidHeader, "The VHD block table does not cover the disk.");

        if (TableOffset % 512 != 0)
            throw new ImageFormatException(FormatError.Misaligned, "The VHD block table is not aligned to a sector.");

        if (TableOffset > long.MaxValue - MaxTableBytes)
            throw new ImageFormatException(FormatError.OutsideFile, "The VHD block table lies outside the file.");
    }
}
