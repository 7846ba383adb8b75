using System.Buffers.Binary;
using System.Numerics;

namespace Registry.Engine.Vhdx;

/// <summary>The checksum of VHDX structures: CRC-32C with the checksum field itself (bytes 4 to 7) as zero.</summary>
internal static class VhdxChecksum
{
    private const int FieldOffset = 4;

    /// <summary>Computes the checksum.</summary>
    /// <param name="structure">The whole structure; its length is a multiple of 8.</param>
    public static uint Compute(ReadOnlySpan<byte> structure)
    {
        // The first eight bytes are the signature and the field.
        var crc = BitOperations.Crc32C(uint.MaxValue, (ulong)BinaryPrimitives.ReadUInt32LittleEndian(structure));
        for (var i = FieldOffset + 4; i < structure.Length; i += 8)
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(structure[i..]));
        return ~crc;
    }
}
