using System.Buffers.Binary;

namespace Registry.Storage.Blobs;

/// <summary>The record at the end of an index: see <see cref="BlobIndex"/>.</summary>
internal readonly record struct BlobIndexRoot(
    long DataLength, int BlockPages, int MapPages, long MapLength, ReadOnlyMemory<byte> TableDigest)
{
    public const int Size = BlobIndex.RootBytes;
    private const uint Version = 1;
    private const int DigestBytes = 32;

    private static ReadOnlySpan<byte> Magic => "RGIX"u8;

    /// <summary>Bytes of the page table before the root.</summary>
    public long TableLength => ((long)BlockPages + MapPages) * BlobIndex.TableEntryBytes;

    /// <summary>Reads a root and checks that its numbers fit together.</summary>
    /// <returns>False when they do not, or when another version wrote it.</returns>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out BlobIndexRoot root)
    {
        root = default;
        if (bytes.Length != Size || !bytes.StartsWith(Magic)
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) != Version)
        {
            return false;
        }

        root = new BlobIndexRoot(
            DataLength: BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            BlockPages: BinaryPrimitives.ReadInt32LittleEndian(bytes[20..]),
            MapPages: BinaryPrimitives.ReadInt32LittleEndian(bytes[24..]),
            MapLength: BinaryPrimitives.ReadInt64LittleEndian(bytes[28..]),
            TableDigest: bytes.Slice(36, DigestBytes).ToArray());
        var blockBytes = BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]);
        return blockBytes == BlobIndex.BlockBytes
            && root.DataLength >= 0
            && root.MapLength >= 0
            && root.BlockPages == PagesFor(root.DataLength, BlobIndex.PageSpanBytes)
            && root.MapPages == PagesFor(root.MapLength, BlobIndex.MapPageBytes);
    }

    public void WriteTo(Span<byte> bytes)
    {
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[4..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], DataLength);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[16..], BlobIndex.BlockBytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[20..], BlockPages);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[24..], MapPages);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[28..], MapLength);
        TableDigest.Span.CopyTo(bytes.Slice(36, DigestBytes));
    }

    private static long PagesFor(long length, long pageBytes) =>
        (length / pageBytes) + (length % pageBytes == 0 ? 0 : 1);
}
