using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhd;

/// <summary>What a VHD is built like.</summary>
internal enum VhdDiskType : uint
{
    /// <summary>The disk's bytes, then the footer.</summary>
    Fixed = 2,

    /// <summary>Blocks allocated as they are written.</summary>
    Dynamic = 3,

    /// <summary>The changes to a parent.</summary>
    Differencing = 4,
}

/// <summary>The last 512 bytes of a VHD; a dynamic one starts with a copy. Big-endian.</summary>
/// <param name="Version">0x00010000.</param>
/// <param name="DataOffset">First byte of the dynamic header; all ones in a fixed disk.</param>
/// <param name="CurrentBytes">Virtual size in bytes.</param>
/// <param name="DiskType">How the disk is built.</param>
/// <param name="Checksum">The sum as stored.</param>
/// <param name="ComputedChecksum">The sum as it should be.</param>
internal readonly record struct VhdFooter(
    uint Version, ulong DataOffset, ulong CurrentBytes, VhdDiskType DiskType, uint Checksum, uint ComputedChecksum)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 512;

    private const int ChecksumOffset = 64;

    /// <summary>Whether bytes start with a footer.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith("conectix"u8);

    /// <summary>Reads a footer.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static VhdFooter Parse(ReadOnlySpan<byte> bytes) => new(
        Version: BinaryPrimitives.ReadUInt32BigEndian(bytes[12..]),
        DataOffset: BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]),
        CurrentBytes: BinaryPrimitives.ReadUInt64BigEndian(bytes[48..]),
        DiskType: (VhdDiskType)BinaryPrimitives.ReadUInt32BigEndian(bytes[60..]),
        Checksum: BinaryPrimitives.ReadUInt32BigEndian(bytes[ChecksumOffset..]),
        ComputedChecksum: VhdChecksum.Compute(bytes[..Size], ChecksumOffset));

    /// <summary>Refuses what is malformed, not supported, or builds on another image.</summary>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate()
    {
        if (Version >> 16 != 1)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"VHD version {Version >> 16} is not supported.");
        }

        if (Checksum != ComputedChecksum)
            throw new ImageFormatException(FormatError.InvalidHeader, "The checksum of the VHD footer is wrong.");

        switch (DiskType)
        {
            case VhdDiskType.Fixed or VhdDiskType.Dynamic:
                return;
            case VhdDiskType.Differencing:
                throw new ImageFormatException(
                    FormatError.BackingFileRefused,
                    "The VHD holds the changes to a parent, which is not allowed here.");
            default:
                throw new ImageFormatException(
                    FormatError.UnsupportedFeature, $"VHD disk type {(uint)DiskType} is not supported.");
        }
    }
}
