using System.Buffers.Binary;
using System.Text;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>An entry of the snapshot table as it is stored, whatever it holds beyond what is understood (format,
/// section 7).</summary>
/// <param name="bytes">The entry without the fill behind it.</param>
internal sealed class SnapshotEntry(byte[] bytes)
{
    private const int FixedBytes = 40;
    private const int ExtraBytes = 24;

    /// <summary>Where its L1 table is.</summary>
    public long L1Offset
    {
        get => BinaryPrimitives.ReadInt64BigEndian(bytes);
        set => BinaryPrimitives.WriteInt64BigEndian(bytes, value);
    }

    /// <summary>Entries of its L1 table.</summary>
    public int L1Entries => BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(8));

    /// <summary>Its id.</summary>
    public string Id => Encoding.UTF8.GetString(bytes, FixedBytes + Extra, IdBytes);

    /// <summary>Its name.</summary>
    public string Name => Encoding.UTF8.GetString(bytes, FixedBytes + Extra + IdBytes, NameBytes);

    /// <summary>Bytes in the table, the fill to a multiple of 8 included.</summary>
    public int StoredBytes => (bytes.Length + 7) & ~7;

    private int IdBytes => BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(12));

    private int NameBytes => BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(14));

    private int Extra => BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(36));

    /// <summary>Makes an entry for a disk without a saved machine.</summary>
    public static SnapshotEntry Create(
        string id, string name, long l1Offset, int l1Entries, DateTimeOffset taken, long diskSize)
    {
        var (idBytes, nameBytes) = (Encoding.UTF8.GetBytes(id), Encoding.UTF8.GetBytes(name));
        var bytes = new byte[FixedBytes + ExtraBytes + idBytes.Length + nameBytes.Length];
        var span = bytes.AsSpan();
        BinaryPrimitives.WriteInt64BigEndian(span, l1Offset);
        BinaryPrimitives.WriteInt32BigEndian(span[8..], l1Entries);
        BinaryPrimitives.WriteUInt16BigEndian(span[12..], (ushort)idBytes.Length);
        BinaryPrimitives.WriteUInt16BigEndian(span[14..], (ushort)nameBytes.Length);
        BinaryPrimitives.WriteUInt32BigEndian(span[16..], (uint)taken.ToUnixTimeSeconds());
        BinaryPrimitives.WriteUInt32BigEndian(span[20..], (uint)(taken.Ticks % TimeSpan.TicksPerSecond * 100));
        BinaryPrimitives.WriteInt32BigEndian(span[36..], ExtraBytes);
        BinaryPrimitives.WriteInt64BigEndian(span[48..], diskSize);
        // The instruction count stays 0, as qemu-img writes it.
        idBytes.CopyTo(span[(FixedBytes + ExtraBytes)..]);
        nameBytes.CopyTo(span[(FixedBytes + ExtraBytes + idBytes.Length)..]);
        return new SnapshotEntry(bytes);
    }

    /// <summary>Bytes of disk when it was taken.</summary>
    /// <param name="otherwise">The size now, for entries that do not say.</param>
    public long DiskSize(long otherwise) =>
        Extra >= 16 ? BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan(48)) : otherwise;

    /// <summary>The same with the extra data that version 3 asks for.</summary>
    /// <param name="diskSize">What to say where it says no size.</param>
    public SnapshotEntry WithExtra(long diskSize)
    {
        if (Extra >= 16)
        {
            return this;
        }

        var grown = new byte[bytes.Length - Extra + 16];
        bytes.AsSpan(0, FixedBytes + Extra).CopyTo(grown);
        bytes.AsSpan(FixedBytes + Extra).CopyTo(grown.AsSpan(FixedBytes + 16));
        if (Extra < 8)
        {
            var state = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(32));
            BinaryPrimitives.WriteUInt64BigEndian(grown.AsSpan(FixedBytes), state);
        }

        BinaryPrimitives.WriteInt64BigEndian(grown.AsSpan(FixedBytes + 8), diskSize);
        BinaryPrimitives.WriteInt32BigEndian(grown.AsSpan(36), 16);
        return new SnapshotEntry(grown);
    }

    /// <summary>Writes the entry; the fill is zero.</summary>
    public void CopyTo(Span<byte> destination) => bytes.CopyTo(destination);

    /// <summary>Cuts a snapshot table into entries.</summary>
    /// <param name="table">The table.</param>
    /// <param name="count">Its entries; the table is known to hold them.</param>
    public static List<SnapshotEntry> Split(ReadOnlySpan<byte> table, int count)
    {
        var entries = new List<SnapshotEntry>(count);
        for (var i = 0; i < count; i++)
        {
            var length = FixedBytes
                + BinaryPrimitives.ReadInt32BigEndian(table[36..])
                + BinaryPrimitives.ReadUInt16BigEndian(table[12..])
                + BinaryPrimitives.ReadUInt16BigEndian(table[14..]);
            entries.Add(new SnapshotEntry(table[..length].ToArray()));
            table = table[Math.Min(table.Length, (length + 7) & ~7)..];
        }

        return entries;
    }
}
