using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>A persistent bitmap that is being changed (format, section 8).</summary>
/// <param name="name">Its name.</param>
/// <param name="granularityBits">log2 of the guest bytes that a bit stands for.</param>
/// <param name="flags">Its flags as stored.</param>
/// <param name="extra">Data that is kept and not understood.</param>
internal sealed class StoredBitmap(string name, int granularityBits, QcowBitmapFlags flags, byte[] extra)
{
    private const int FixedBytes = 24;
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    private readonly Dictionary<int, byte[]> chunks = [];

    /// <summary>Its name.</summary>
    public string Name { get; } = name;

    /// <summary>log2 of the guest bytes that a bit stands for.</summary>
    public int GranularityBits { get; } = granularityBits;

    /// <summary>Its flags; "in use" as they are stored now.</summary>
    public QcowBitmapFlags Flags { get; set; } = flags;

    /// <summary>Whether it was in use already when the image was opened: it says nothing, and nothing changes
    /// it.</summary>
    public bool IsInconsistent { get; } = flags.HasFlag(QcowBitmapFlags.InUse);

    /// <summary>Where the table is stored; 0 when nowhere yet.</summary>
    public long TableOffset { get; set; }

    /// <summary>Entries of the stored table.</summary>
    public int TableEntries { get; set; }

    /// <summary>The table, once it is needed.</summary>
    public ulong[]? Table { get; set; }

    /// <summary>Whether writes are recorded.</summary>
    public bool IsEnabled => Flags.HasFlag(QcowBitmapFlags.Auto) && !IsInconsistent;

    /// <summary>Whether the table or a chunk differs from what is stored.</summary>
    public bool IsChanged { get; set; }

    /// <summary>The chunks in memory, one cluster of bits each, by their place in the table.</summary>
    public IReadOnlyDictionary<int, byte[]> Chunks => chunks;

    /// <summary>Bytes of its directory entry.</summary>
    public int StoredBytes => (FixedBytes + extra.Length + Encoding.UTF8.GetByteCount(Name) + 7) & ~7;

    /// <summary>Table entries that a disk of a size needs.</summary>
    public static long EntriesFor(long size, int granularityBits, int clusterSize)
    {
        var bits = size == 0 ? 0 : ((size - 1) >> granularityBits) + 1;
        return (((bits + 7) / 8) + clusterSize - 1) / clusterSize;
    }

    /// <summary>Takes a directory apart. It has been judged.</summary>
    public static List<(StoredBitmap Bitmap, int Position)> Split(ReadOnlySpan<byte> directory)
    {
        var bitmaps = new List<(StoredBitmap, int)>();
        for (var at = 0; at + FixedBytes <= directory.Length;)
        {
            var entry = directory[at..];
            var nameLength = BinaryPrimitives.ReadUInt16BigEndian(entry[18..]);
            var extraLength = BinaryPrimitives.ReadInt32BigEndian(entry[20..]);
            var bitmap = new StoredBitmap(
                Encoding.UTF8.GetString(entry.Slice(FixedBytes + extraLength, nameLength)),
                entry[17],
                (QcowBitmapFlags)BinaryPrimitives.ReadUInt32BigEndian(entry[12..]),
                entry.Slice(FixedBytes, extraLength).ToArray())
            {
                TableOffset = BinaryPrimitives.ReadInt64BigEndian(entry),
                TableEntries = BinaryPrimitives.ReadInt32BigEndian(entry[8..]),
            };
            bitmaps.Add((bitmap, at));
            at += bitmap.StoredBytes;
        }

        return bitmaps;
    }

    /// <summary>Writes the directory entry; the fill is zero.</summary>
    public void WriteTo(Span<byte> entry)
    {
        var nameBytes = Encoding.UTF8.GetBytes(Name);
        BinaryPrimitives.WriteInt64BigEndian(entry, TableOffset);
        BinaryPrimitives.WriteInt32BigEndian(entry[8..], TableEntries);
        BinaryPrimitives.WriteUInt32BigEndian(entry[12..], (uint)Flags);
        entry[16] = 1; // dirty tracking, the only kind there is
        entry[17] = (byte)GranularityBits;
        BinaryPrimitives.WriteUInt16BigEndian(entry[18..], (ushort)nameBytes.Length);
        BinaryPrimitives.WriteInt32BigEndian(entry[20..], extra.Length);
        extra.CopyTo(entry[FixedBytes..]);
        nameBytes.CopyTo(entry[(FixedBytes + extra.Length)..]);
    }

    /// <summary>Where a chunk is stored; 0 when its bits are all alike.</summary>
    public long ChunkOffset(int index) => (long)(Table![index] & OffsetMask);

    /// <summary>Keeps a chunk in memory.</summary>
    /// <param name="index">Its place in the table.</param>
    /// <param name="bytes">Its bits as stored; null when the table says that they are all alike.</param>
    /// <param name="clusterSize">Bytes of a chunk.</param>
    public void AddChunk(int index, byte[]? bytes, int clusterSize)
    {
        if (bytes is null)
        {
            bytes = new byte[clusterSize];
            bytes.AsSpan().Fill((Table![index] & 1) != 0 ? (byte)0xFF : (byte)0);
        }

        chunks.Add(index, bytes);
    }

    /// <summary>Forgets the chunks, which are stored now, or not wanted.</summary>
    public void ForgetChunks() => chunks.Clear();

    /// <summary>Forgets the chunks that the table no longer has.</summary>
    public void ForgetChunksFrom(int index)
    {
        foreach (var key in chunks.Keys.Where(key => key >= index).ToList())
        {
            chunks.Remove(key);
        }
    }

    /// <summary>Sets or clears bits of one chunk, which is in memory.</summary>
    /// <param name="index">Its place in the table.</param>
    /// <param name="first">First bit in it.</param>
    /// <param name="count">Bits.</param>
    /// <param name="value">What they become.</param>
    public void Fill(int index, int first, int count, bool value)
    {
        var chunk = chunks[index];
        var end = first + count;
        for (; first < end && (first & 7) != 0; first++)
        {
            Put(first);
        }

        if (end - first >= 8)
        {
            chunk.AsSpan(first >> 3, (end - first) >> 3).Fill(value ? (byte)0xFF : (byte)0);
            first += (end - first) & ~7;
        }

        for (; first < end; first++)
        {
            Put(first);
        }

        IsChanged = true;

        void Put(int bit) => chunk[bit >> 3] = (byte)(value
            ? chunk[bit >> 3] | 1 << (bit & 7)
            : chunk[bit >> 3] & ~(1 << (bit & 7)));
    }
}
