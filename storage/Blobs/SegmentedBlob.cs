using System.Buffers.Binary;

namespace Registry.Storage.Blobs;

/// <summary>How a committed blob is cut into objects; kept in the blob's record object.</summary>
/// <remarks>
/// Little-endian: magic "RGBS" | u32 version 1 | u64 data length | u64 index length | u32 data segment bytes | u32 index
/// segment bytes. Nothing vouches for it, and nothing has to: wrong numbers lead to bytes that fail their digests.
/// </remarks>
/// <param name="DataLength">Bytes of data.</param>
/// <param name="IndexLength">Bytes of index.</param>
/// <param name="DataSegmentBytes">Bytes of each object of data but the last; 0 when all is in one file.</param>
/// <param name="IndexSegmentBytes">The same of the index.</param>
public sealed record SegmentedBlob(long DataLength, long IndexLength, int DataSegmentBytes, int IndexSegmentBytes)
{
    /// <summary>Bytes of the record.</summary>
    internal const int Size = 4 + 4 + 8 + 8 + 4 + 4;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "RGBS"u8;

    /// <summary>Length of a part in bytes.</summary>
    public long Length(BlobPart part) => part == BlobPart.Data ? DataLength : IndexLength;

    /// <summary>Size of a part's segments in bytes; 0 when the part is one file.</summary>
    public int SegmentBytes(BlobPart part) => part == BlobPart.Data ? DataSegmentBytes : IndexSegmentBytes;

    /// <summary>Number of segments of a part.</summary>
    public long Segments(BlobPart part) => SegmentBytes(part) is var bytes and > 0
        ? (Length(part) + bytes - 1) / bytes
        : 1;

    /// <summary>Reads a record.</summary>
    /// <returns>Null when it is none, or another version's.</returns>
    internal static SegmentedBlob? TryParse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size || !bytes.StartsWith(Magic)
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) != Version)
        {
            return null;
        }

        var blob = new SegmentedBlob(
            DataLength: BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            IndexLength: BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
            DataSegmentBytes: BinaryPrimitives.ReadInt32LittleEndian(bytes[24..]),
            IndexSegmentBytes: BinaryPrimitives.ReadInt32LittleEndian(bytes[28..]));
        return blob is { DataLength: >= 0, IndexLength: >= 0, DataSegmentBytes: > 0, IndexSegmentBytes: > 0 }
            ? blob
            : null;
    }

    /// <summary>The record as bytes.</summary>
    internal byte[] ToBytes()
    {
        var bytes = new byte[Size];
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(8), DataLength);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(16), IndexLength);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(24), DataSegmentBytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(28), IndexSegmentBytes);
        return bytes;
    }
}
