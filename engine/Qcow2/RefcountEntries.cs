using System.Buffers.Binary;

namespace Registry.Engine.Qcow2;

/// <summary>The reference counts in one refcount block (or any array of them): 2^order bits each, order 0 to
/// 6.</summary>
/// <remarks>Counts of a byte and more are big-endian; smaller ones fill a byte from its least significant bit
/// on.</remarks>
internal static class RefcountEntries
{
    /// <summary>Counts that fit in a block.</summary>
    /// <param name="blockBytes">Bytes of the block: one cluster.</param>
    /// <param name="order">log2 of the width in bits.</param>
    public static int PerBlock(int blockBytes, int order) => (int)((long)blockBytes * 8 >> order);

    /// <summary>The largest count of a width.</summary>
    public static ulong Max(int order) => order == 6 ? ulong.MaxValue : (1UL << (1 << order)) - 1;

    /// <summary>One count.</summary>
    public static ulong Get(ReadOnlySpan<byte> block, int index, int order) => order switch
    {
        0 => (ulong)(block[index >> 3] >> (index & 7)) & 1,
        1 => (ulong)(block[index >> 2] >> ((index & 3) * 2)) & 3,
        2 => (ulong)(block[index >> 1] >> ((index & 1) * 4)) & 15,
        3 => block[index],
        4 => BinaryPrimitives.ReadUInt16BigEndian(block[(index * 2)..]),
        5 => BinaryPrimitives.ReadUInt32BigEndian(block[(index * 4)..]),
        _ => BinaryPrimitives.ReadUInt64BigEndian(block[(index * 8)..]),
    };

    /// <summary>Writes one count, which must not exceed <see cref="Max"/>.</summary>
    public static void Set(Span<byte> block, int index, int order, ulong value)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, Max(order));
        switch (order)
        {
            case 0:
                Pack(ref block[index >> 3], index & 7, 1, value);
                break;
            case 1:
                Pack(ref block[index >> 2], (index & 3) * 2, 3, value);
                break;
            case 2:
                Pack(ref block[index >> 1], (index & 1) * 4, 15, value);
                break;
            case 3:
                block[index] = (byte)value;
                break;
            case 4:
                BinaryPrimitives.WriteUInt16BigEndian(block[(index * 2)..], (ushort)value);
                break;
            case 5:
                BinaryPrimitives.WriteUInt32BigEndian(block[(index * 4)..], (uint)value);
                break;
            default:
                BinaryPrimitives.WriteUInt64BigEndian(block[(index * 8)..], value);
                break;
        }
    }

    private static void Pack(ref byte cell, int shift, int mask, ulong value) =>
        cell = (byte)((cell & ~(mask << shift)) | ((int)value << shift));
}
