using System.Buffers.Binary;

namespace Registry.Faults;

/// <summary>The first clusters of a sound qcow2 image whose L1 table is as large as the format's readers take: header,
/// refcount table and two refcount blocks.</summary>
internal static class LargeTablesHeader
{
    /// <summary>Makes them.</summary>
    /// <param name="clusterBytes">Bytes of a cluster.</param>
    /// <param name="tableBytes">Bytes of the table that follows.</param>
    public static byte[] Bytes(int clusterBytes, int tableBytes)
    {
        var bytes = new byte[4 * clusterBytes];
        var entries = tableBytes / 8;
        var diskBytes = (ulong)entries * (ulong)(clusterBytes / 8) * (ulong)clusterBytes;
        BinaryPrimitives.WriteUInt32BigEndian(bytes, 0x514649FB);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4), 2);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(20), (uint)int.Log2(clusterBytes));
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(24), diskBytes);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(36), (uint)entries);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(40), 4UL * (uint)clusterBytes);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(48), (ulong)clusterBytes);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(56), 1);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(clusterBytes), 2UL * (uint)clusterBytes);
        var clusters = 4 + (tableBytes / clusterBytes);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(clusterBytes + 8), 3UL * (uint)clusterBytes);
        for (var i = 0; i < clusters; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan((2 * clusterBytes) + (2 * i)), 1);
        }

        return bytes;
    }
}
