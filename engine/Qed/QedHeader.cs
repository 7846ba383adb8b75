using System.Buffers.Binary;

namespace Registry.Engine.Qed;

/// <summary>What the header of a QEMU enhanced disk tells: such images are recognised and never read.
/// Little-endian.</summary>
/// <param name="DiskBytes">Virtual size in bytes.</param>
internal readonly record struct QedHeader(ulong DiskBytes)
{
    /// <summary>Size in bytes of the fields that are read.</summary>
    public const int Size = 56;

    private const int DiskBytesOffset = 48;

    /// <summary>Whether bytes start with a header.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith("QED\0"u8);

    /// <summary>Reads a header.</summary>
    /// <param name="bytes">At least <see cref="Size"/> bytes.</param>
    public static QedHeader Parse(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadUInt64LittleEndian(bytes[DiskBytesOffset..]));
}
