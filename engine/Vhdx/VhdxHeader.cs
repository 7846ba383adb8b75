using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Vhdx;

/// <summary>One of the two headers of a VHDX; the valid one with the higher sequence number counts.
/// Little-endian.</summary>
/// <param name="Sequence">Sequence number.</param>
/// <param name="LogId">Identity of the log to be replayed; empty when there is nothing to replay.</param>
/// <param name="Version">1.</param>
/// <param name="LogLength">Bytes of the log.</param>
/// <param name="LogOffset">First byte of the log.</param>
internal readonly record struct VhdxHeader(
    ulong Sequence, Guid LogId, ushort Version, uint LogLength, ulong LogOffset)
{
    /// <summary>Size in bytes.</summary>
    public const int Size = 4096;

    /// <summary>First byte of the first header; the second follows 64 KiB later.</summary>
    public const int FirstFileOffset = 64 * 1024;

    /// <summary>First byte of the second header.</summary>
    public const int SecondFileOffset = 128 * 1024;

    /// <summary>Reads the header that counts.</summary>
    /// <param name="file">The file's first bytes, both headers among them.</param>
    /// <exception cref="ImageFormatException">Neither header is valid.</exception>
    public static VhdxHeader ParseCurrent(ReadOnlySpan<byte> file)
    {
        var first = TryParse(file.Slice(FirstFileOffset, Size));
        var second = TryParse(file.Slice(SecondFileOffset, Size));
        if (first is null || second is null)
        {
            return first ?? second ?? throw new ImageFormatException(
                FormatError.InvalidHeader, "The VHDX has no valid header.", FirstFileOffset);
        }

        return first.Value.Sequence >= second.Value.Sequence ? first.Value : second.Value;
    }

    /// <summary>Refuses what is not supported or was not closed.</summary>
    /// <exception cref="ImageFormatException">Refused.</exception>
    public void Validate()
    {
        if (Version != 1)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"VHDX version {Version} is not supported.", FirstFileOffset);
        }

        if (LogId != Guid.Empty)
        {
            throw new ImageFormatException(
                FormatError.DirtyImage, "The VHDX was not closed: its log is to be replayed first.", FirstFileOffset);
        }
    }

    private static VhdxHeader? TryParse(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.StartsWith("head"u8)
            || VhdxChecksum.Compute(bytes) != BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]))
            return null;

        return new VhdxHeader(
            Sequence: BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]),
            LogId: new Guid(bytes.Slice(48, 16)),
            Version: BinaryPrimitives.ReadUInt16LittleEndian(bytes[66..]),
            LogLength: BinaryPrimitives.ReadUInt32LittleEndian(bytes[68..]),
            LogOffset: BinaryPrimitives.ReadUInt64LittleEndian(bytes[72..]));
    }
}
