using System.Buffers.Binary;

namespace Registry.Engine.Tests.Qcow2;

/// <summary>Writes a small valid qcow2 file by hand, so that a test can spoil one thing in it.</summary>
/// <remarks>
/// <code>
///   cluster 0 header | 1 refcount table | 2 refcount block | 3 L1 | 4 L2 | 5, 6, … data
/// </code>
/// </remarks>
internal sealed class QcowBytes
{
    public const int Cluster = 65536;
    public const int RefcountTable = 1 * Cluster;
    public const int L1 = 3 * Cluster;
    public const int L2 = 4 * Cluster;
    public const int Data = 5 * Cluster;

    public QcowBytes(int version = 3, int clusters = 8, long size = 1 << 20, uint l1Entries = 1)
    {
        Bytes = new byte[clusters * Cluster];
        U32(0, 0x514649FB);                 // magic
        U32(4, (uint)version);              // version
        U32(20, 16);                        // cluster bits
        U64(24, (ulong)size);               // virtual size
        U32(36, l1Entries);                 // L1 entries
        U64(40, L1);                        // L1 offset
        U64(48, RefcountTable);             // refcount table offset
        U32(56, 1);                         // refcount table clusters
        if (version == 3)
        {
            U32(96, 4);                     // refcount order
            U32(100, 104);                  // header length
        }

        U64(RefcountTable, 2 * Cluster);    // the one refcount block
        U64(L1, Copied | L2);               // the one L2 table
    }

    public const ulong Copied = 1UL << 63;

    public byte[] Bytes { get; private set; }

    public QcowBytes U32(int offset, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(Bytes.AsSpan(offset), value);
        return this;
    }

    public QcowBytes U64(int offset, ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan(offset), value);
        return this;
    }

    public QcowBytes Text(int offset, string value)
    {
        System.Text.Encoding.UTF8.GetBytes(value, Bytes.AsSpan(offset));
        return this;
    }

    /// <summary>L2 entry <paramref name="index"/>.</summary>
    public QcowBytes Entry(int index, ulong value) => U64(L2 + (index * 8), value);

    /// <summary>Cuts the file.</summary>
    public QcowBytes Cut(int length)
    {
        Bytes = Bytes[..length];
        return this;
    }
}
