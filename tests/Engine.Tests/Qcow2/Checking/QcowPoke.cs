using System.Buffers.Binary;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Tests.Qcow2.Checking;

/// <summary>The bytes of a qcow2 file and where its structures are, to spoil them one by one.</summary>
internal sealed class QcowPoke
{
    public const ulong Copied = 1UL << 63;
    public const ulong Compressed = 1UL << 62;
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    public QcowPoke(byte[] bytes)
    {
        Bytes = bytes;
        Header = QcowHeader.Parse(bytes);
    }

    public byte[] Bytes { get; private set; }

    public QcowHeader Header { get; }

    public int Cluster => Header.ClusterSize;

    public int L1 => (int)Header.L1Offset;

    public int RefcountTable => (int)Header.RefcountTableOffset;

    public int Snapshots => (int)Header.SnapshotsOffset;

    /// <summary>Position of the first L1 entry with an L2 table; -1 for none.</summary>
    public int FirstL1Entry => Find(L1, (int)Header.L1Entries, 8, entry => (entry & OffsetMask) != 0);

    public int FirstL2 => FirstL1Entry < 0 ? -1 : (int)(U64(FirstL1Entry) & OffsetMask);

    public ulong U64(int position) => BinaryPrimitives.ReadUInt64BigEndian(Bytes.AsSpan(position));

    public uint U32(int position) => BinaryPrimitives.ReadUInt32BigEndian(Bytes.AsSpan(position));

    public bool Set64(int position, ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan(position), value);
        return true;
    }

    public bool Set32(int position, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(Bytes.AsSpan(position), value);
        return true;
    }

    public bool Resize(int length)
    {
        var bytes = Bytes;
        Array.Resize(ref bytes, length);
        Bytes = bytes;
        return true;
    }

    /// <summary>Position of the n-th entry of the first L2 table that fits; -1 for none.</summary>
    public int Entry(Func<ulong, bool> fits, int skip = 0)
    {
        if (FirstL2 < 0 || FirstL2 + Cluster > Bytes.Length)
        {
            return -1;
        }

        return Find(FirstL2, Header.L2Entries, Header.L2EntrySize, entry => fits(entry) && skip-- == 0);
    }

    public int DataEntry(int skip = 0) =>
        Entry(entry => (entry & Compressed) == 0 && (entry & 1) == 0 && (entry & OffsetMask) != 0, skip);

    public int CompressedEntry => Entry(entry => (entry & Compressed) != 0);

    public int ZeroEntry => Header.L2EntrySize == 16
        ? -1
        : Entry(entry => (entry & Compressed) == 0 && (entry & 1) == 1 && (entry & OffsetMask) != 0);

    public int EmptyEntry => Entry(entry => entry == 0);

    public int DataCluster(int skip = 0) =>
        DataEntry(skip) < 0 ? -1 : (int)((U64(DataEntry(skip)) & OffsetMask) >> (int)Header.ClusterBits);

    /// <summary>Sets the stored count of a cluster, as far as the width allows.</summary>
    public bool SetCount(int cluster, ulong count)
    {
        var order = (int)Header.RefcountOrder;
        var perBlock = RefcountEntries.PerBlock(Cluster, order);
        if (cluster < 0 || count > RefcountEntries.Max(order))
        {
            return false;
        }

        var block = (int)U64(RefcountTable + (cluster / perBlock * 8));
        if (block == 0 || block + Cluster > Bytes.Length)
        {
            return false;
        }

        RefcountEntries.Set(Bytes.AsSpan(block, Cluster), cluster % perBlock, order, count);
        return true;
    }

    /// <summary>Position of a header extension's data; -1 when there is none.</summary>
    public int Extension(uint type)
    {
        for (var position = (int)Header.HeaderLength; position + 8 <= Cluster;)
        {
            if (U32(position) == type)
            {
                return position + 8;
            }

            if (U32(position) == 0)
            {
                break;
            }

            position += 8 + (int)((U32(position + 4) + 7) & ~7u);
        }

        return -1;
    }

    private int Find(int start, int count, int step, Func<ulong, bool> fits)
    {
        for (var i = 0; i < count; i++)
        {
            if (fits(U64(start + (i * step))))
            {
                return start + (i * step);
            }
        }

        return -1;
    }
}
