using System.Buffers.Binary;

namespace Registry.Engine.Crypto;

/// <summary>One of the eight places where a passphrase keeps the master key.</summary>
/// <param name="IsActive">Whether it holds a key.</param>
/// <param name="Iterations">Hash iterations that a try costs.</param>
/// <param name="Salt">Salt of the passphrase, 32 bytes.</param>
/// <param name="MaterialSector">Where its key material starts, in sectors of 512 bytes from the header.</param>
/// <param name="Stripes">Parts that the key is split into.</param>
public sealed record LuksKeySlot(bool IsActive, uint Iterations, byte[] Salt, uint MaterialSector, uint Stripes)
{
    /// <summary>Bytes of a slot in the header.</summary>
    public const int Size = 48;

    private const uint Active = 0x00AC71F3;
    private const uint Inactive = 0x0000DEAD;

    /// <summary>Takes a slot from its bytes.</summary>
    internal static LuksKeySlot Parse(ReadOnlySpan<byte> bytes) => new(
        IsActive: BinaryPrimitives.ReadUInt32BigEndian(bytes) == Active,
        Iterations: BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]),
        Salt: bytes[8..40].ToArray(),
        MaterialSector: BinaryPrimitives.ReadUInt32BigEndian(bytes[40..]),
        Stripes: BinaryPrimitives.ReadUInt32BigEndian(bytes[44..]));

    /// <summary>Writes the slot.</summary>
    internal void WriteTo(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt32BigEndian(bytes, IsActive ? Active : Inactive);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], Iterations);
        Salt.CopyTo(bytes[8..]);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[40..], MaterialSector);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[44..], Stripes);
    }
}
