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
/// <param name="Creator">Four letters: the program that made the disk.</param>
/// <param name="DataOffset">First byte of the dynamic header; all ones in a fixed disk.</param>
/// <param name="CurrentBytes">Virtual size in bytes (Current Size).</param>
/// <param name="GeometrySectors">Virtual size in sectors, as cylinders, heads and sectors give it.</param>
/// <param name="DiskType">How the disk is built.</param>
/// <param name="Checksum">The sum as stored.</param>
/// <param name="ComputedChecksum">The sum as it should be.</param>
internal readonly record struct VhdFooter(
    uint Version, uint Creator, ulong DataOffset, ulong CurrentBytes, long GeometrySectors, VhdDiskType DiskType,
    uint Checksum, uint ComputedChecksum)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 512;

    private const int SectorBytes = 512;
    private const int ChecksumOffset = 64;

    // The format's own limit.
    private const ulong MaxDiskBytes = 2040UL << 30;

    // The creators whose disks are as large as their geometry: "vpc ", "vs  " and "qemu".
    private const uint VirtualPc = 0x76706320;
    private const uint VirtualServer = 0x76732020;
    private const uint Qemu = 0x71656D75;

    /// <summary>What a disk that is too large for the geometry says.</summary>
    private const long MaxGeometrySectors = 65535L * 16 * 255;

    /// <summary>Virtual size in bytes, a whole number of sectors.</summary>
    /// <remarks>The size is <see cref="CurrentBytes"/>, except for the creators that are known to mean the geometry:
    /// Virtual PC, Virtual Server and QEMU without <c>force_size</c>. The geometry of any other creator is only what
    /// the disk reports over ATA, and leaves out the last sectors. No geometry, or the largest one, leaves the
    /// size.</remarks>
    public long DiskBytes
    {
        get
        {
            var isByGeometry = Creator is VirtualPc or VirtualServer or Qemu
                && GeometrySectors is not (0 or MaxGeometrySectors);
            return isByGeometry ? GeometrySectors * SectorBytes : (long)(CurrentBytes / SectorBytes) * SectorBytes;
        }
    }

    /// <summary>Whether bytes start with a footer.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith("conectix"u8);

    /// <summary>Reads a footer.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static VhdFooter Parse(ReadOnlySpan<byte> bytes) => new(
        Version: BinaryPrimitives.ReadUInt32BigEndian(bytes[12..]),
        Creator: BinaryPrimitives.ReadUInt32BigEndian(bytes[28..]),
        DataOffset: BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]),
        CurrentBytes: BinaryPrimitives.ReadUInt64BigEndian(bytes[48..]),
        GeometrySectors: BinaryPrimitives.ReadUInt16BigEndian(bytes[56..]) * (long)bytes[58] * bytes[59],
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

        if (CurrentBytes > MaxDiskBytes)
        {
            throw new ImageFormatException(
                FormatError.VirtualSizeTooLarge, $"A VHD of {CurrentBytes} bytes is not legal.");
        }

        if ((ulong)DiskBytes > CurrentBytes)
        {
            throw new ImageFormatException(
                FormatError.InvalidHeader, "The geometry of the VHD is larger than its size.");
        }

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
