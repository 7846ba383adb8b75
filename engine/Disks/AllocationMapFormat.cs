using System.Buffers.Binary;

namespace Registry.Engine.Disks;

/// <summary>The layout of a stored allocation map.</summary>
/// <remarks>
/// <code>
/// little-endian; pages of exactly 64 KiB, the last one shorter; any page can be read without those before it
///
/// page 0     head (32 bytes) | page start | records
/// page n     page start (16 bytes) | records
/// last page  … | trailer (32 bytes, the last bytes of the map)
///
/// head       magic "RMAP" | u8 version 1 | u8 format | u8 log2 cluster size | u8 compression
///            | u64 virtual size | u64 stored length | u64 zero
/// page start u64 guest offset of its first extent | u64 stored offset that its first record counts from
/// record     varint tag: (value &lt;&lt; 2) | kind
///            hole 0, zero 1   value = guest bytes
///            data 2           value = guest bytes; then zigzag varint: stored offset minus where the last one ended
///            compressed 3     value = clusters; for each: zigzag varint offset as above, varint stored length
///            tag 0            the page ends; the rest is zero
/// trailer    u64 allocated guest bytes | u64 stored bytes | u64 extents | u32 zero | magic "PAMR"
/// </code>
/// A compressed cluster is a cluster of guest bytes long, the disk's last one as long as the disk lasts.
/// </remarks>
internal static class AllocationMapFormat
{
    public const int PageBytes = 64 * 1024;
    public const int HeadBytes = 32;
    public const int PageStartBytes = 16;
    public const int TrailerBytes = 32;
    public const uint HeadMagic = 0x50414D52; // "RMAP"
    public const uint TrailerMagic = 0x524D4150; // "PAMR"
    public const byte Version = 1;

    /// <summary>Bytes of a varint of 64 bits at most.</summary>
    public const int MaxVarintBytes = 10;

    /// <summary>Bytes of one record, or of one cluster in a compressed record, at most.</summary>
    public const int MaxRecordBytes = 2 * MaxVarintBytes;

    public static int WriteVarint(Span<byte> target, ulong value)
    {
        var i = 0;
        for (; value >= 0x80; value >>= 7)
        {
            target[i++] = (byte)(value | 0x80);
        }

        target[i++] = (byte)value;
        return i;
    }

    /// <summary>Reads a varint and moves past it.</summary>
    /// <exception cref="ImageFormatException">It does not end inside the page, or holds more than 64 bits.</exception>
    public static ulong ReadVarint(ReadOnlySpan<byte> page, ref int position)
    {
        ulong value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (position >= page.Length)
            {
                break;
            }

            var next = page[position++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }

        throw Malformed("A number does not end.");
    }

    public static ulong ZigZag(long value) => (ulong)(value << 1) ^ (ulong)(value >> 63);

    public static long UnZigZag(ulong value) => (long)(value >> 1) ^ -(long)(value & 1);

    public static ImageFormatException Malformed(string what) =>
        new(FormatError.InvalidTableEntry, $"The allocation map is malformed: {what}");
}

/// <summary>What an allocation map says of its disk, before its extents.</summary>
/// <param name="Format">Format of the stored image.</param>
/// <param name="ClusterSize">Its allocation granularity in bytes, a power of two from 512 to 64 MiB.</param>
/// <param name="Compression">How its compressed clusters are compressed.</param>
/// <param name="VirtualSize">Bytes of the disk.</param>
/// <param name="StoredLength">Bytes of the stored image.</param>
public readonly record struct AllocationMapHeader(
    DiskFormat Format, int ClusterSize, ClusterCompression Compression, long VirtualSize, long StoredLength)
{
    private const int MaxClusterBits = 26;

    /// <summary>What the map of an image says.</summary>
    public static AllocationMapHeader Of(DiskImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        return new(image.Format, image.ClusterSize, image.Compression, image.VirtualSize, image.Layer(0).Length);
    }

    internal void WriteTo(Span<byte> target)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(target, AllocationMapFormat.HeadMagic);
        target[4] = AllocationMapFormat.Version;
        target[5] = (byte)Format;
        target[6] = (byte)int.Log2(ClusterSize);
        target[7] = (byte)Compression;
        BinaryPrimitives.WriteInt64LittleEndian(target[8..], VirtualSize);
        BinaryPrimitives.WriteInt64LittleEndian(target[16..], StoredLength);
        target[24..AllocationMapFormat.HeadBytes].Clear();
    }

    /// <exception cref="ImageFormatException">The bytes are not the head of an allocation map.</exception>
    internal static AllocationMapHeader Parse(ReadOnlySpan<byte> head)
    {
        if (head.Length < AllocationMapFormat.HeadBytes
            || BinaryPrimitives.ReadUInt32LittleEndian(head) != AllocationMapFormat.HeadMagic)
        {
            throw new ImageFormatException(FormatError.BadMagic, "The bytes are not an allocation map.", 0);
        }

        if (head[4] != AllocationMapFormat.Version)
        {
            throw new ImageFormatException(
                FormatError.UnsupportedVersion, $"Allocation map version {head[4]} is not supported.", 4);
        }

        var header = new AllocationMapHeader(
            Format: (DiskFormat)head[5],
            ClusterSize: head[6] is >= 9 and <= MaxClusterBits ? 1 << head[6] : 0,
            Compression: (ClusterCompression)head[7],
            VirtualSize: BinaryPrimitives.ReadInt64LittleEndian(head[8..]),
            StoredLength: BinaryPrimitives.ReadInt64LittleEndian(head[16..]));
        return header.ClusterSize != 0 && header is { VirtualSize: >= 0, StoredLength: >= 0 }
            && Enum.IsDefined(header.Format) && Enum.IsDefined(header.Compression)
            ? header
            : throw AllocationMapFormat.Malformed("a field of its head is out of range.");
    }
}
