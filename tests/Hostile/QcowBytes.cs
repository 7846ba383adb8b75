using System.Buffers.Binary;
using System.Text;

namespace Registry.Hostile;

/// <summary>A qcow2 file whose every header field can be set to nonsense. Sound unless told otherwise: an empty 1 GiB
/// disk with 64 KiB clusters.</summary>
internal sealed record QcowBytes
{
    public uint Version { get; init; } = 3;
    public string Backing { get; init; } = "";
    public uint ClusterBits { get; init; } = 16;
    public ulong DiskBytes { get; init; } = 1UL << 30;
    public uint CryptMethod { get; init; }
    public uint L1Entries { get; init; } = 2;
    public ulong L1Offset { get; init; } = 0x30000;
    public ulong RefcountTableOffset { get; init; } = 0x10000;
    public uint RefcountTableClusters { get; init; } = 1;
    public uint Snapshots { get; init; }
    public ulong SnapshotsOffset { get; init; }
    public ulong Incompatible { get; init; }
    public uint RefcountOrder { get; init; } = 4;
    public uint HeaderLength { get; init; } = 104;
    public byte[] Extensions { get; init; } = [];
    public int FileBytes { get; init; } = 0x50000;

    private const int BackingNameOffset = 0x200;

    /// <summary>A header extension: type, length as claimed, data filled up to a multiple of 8.</summary>
    public static byte[] Extension(uint type, uint claimedLength, byte[] data)
    {
        var bytes = new byte[8 + ((data.Length + 7) / 8 * 8)];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, type);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4), claimedLength);
        data.CopyTo(bytes, 8);
        return bytes;
    }

    /// <summary>An extension that is what it claims to be.</summary>
    public static byte[] Extension(uint type, string text) =>
        Extension(type, (uint)text.Length, Encoding.ASCII.GetBytes(text));

    public byte[] ToBytes()
    {
        var file = new byte[FileBytes];
        var name = Encoding.ASCII.GetBytes(Backing);
        "QFI\u00fb"u8[..3].CopyTo(file);
        file[3] = 0xFB;
        U32(4, Version);
        U64(8, name.Length > 0 ? BackingNameOffset : 0UL);
        U32(16, (uint)name.Length);
        U32(20, ClusterBits);
        U64(24, DiskBytes);
        U32(32, CryptMethod);
        U32(36, L1Entries);
        U64(40, L1Offset);
        U64(48, RefcountTableOffset);
        U32(56, RefcountTableClusters);
        U32(60, Snapshots);
        U64(64, SnapshotsOffset);
        U64(72, Incompatible);
        U64(80, 0);                     // compatible features
        U64(88, 0);                     // autoclear features
        U32(96, RefcountOrder);
        U32(100, HeaderLength);
        Extensions.CopyTo(file, 104);
        name.CopyTo(file, BackingNameOffset);
        return file;

        void U32(int offset, uint value) => BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(offset), value);
        void U64(int offset, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(file.AsSpan(offset), value);
    }
}
