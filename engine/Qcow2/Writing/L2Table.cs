using System.Buffers.Binary;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>An L2 table in memory (format, section 4).</summary>
/// <param name="offset">Its file offset.</param>
/// <param name="bytes">One cluster of entries.</param>
/// <param name="isExtended">Whether an entry is 16 bytes and has subclusters.</param>
internal sealed class L2Table(long offset, byte[] bytes, bool isExtended)
{
    /// <summary>Its file offset.</summary>
    public long Offset { get; } = offset;

    /// <summary>One cluster of entries.</summary>
    public byte[] Bytes { get; } = bytes;

    /// <summary>Entries in it.</summary>
    public int Count => Bytes.Length / (isExtended ? 16 : 8);

    /// <summary>Whether the file does not have these entries yet.</summary>
    public bool IsDirty { get; private set; }

    /// <summary>When it was used last, for the cache.</summary>
    public long LastUse { get; set; }

    /// <summary>What an entry says.</summary>
    /// <param name="index">0 to <see cref="Count"/> exclusive.</param>
    public ClusterEntry this[int index]
    {
        get
        {
            var at = index * (isExtended ? 16 : 8);
            var entry = BinaryPrimitives.ReadUInt64BigEndian(Bytes.AsSpan(at));
            return isExtended
                ? new ClusterEntry(entry, BinaryPrimitives.ReadUInt64BigEndian(Bytes.AsSpan(at + 8)), true)
                : new ClusterEntry(entry, 0, false);
        }

        set
        {
            var at = index * (isExtended ? 16 : 8);
            BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan(at), value.Bits);
            if (isExtended)
            {
                BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan(at + 8), value.Bitmap);
            }

            IsDirty = true;
        }
    }

    /// <summary>Notes that the file has these entries now, or (a new table) does not have them.</summary>
    public void Mark(bool isDirty) => IsDirty = isDirty;
}
