namespace Registry.Storage.Blobs;

/// <summary>The numbers of a blob's index; its layout is drawn here.</summary>
/// <remarks>
/// <code>
/// index part of a blob, little-endian, written front to back while the upload passes by:
///
///   block page 0 | block page 1 | … | map page 0 | map page 1 | … | page table | root
///
/// block page   covers 1024 blocks of 64 KiB (64 MiB of data):
///                bitmap  128 bytes; bit i set = block i holds a byte that is not zero
///                then, for each set bit in order: u16 mask | 32 bytes SHA-256 of the block
///                mask bit j set = the block's j-th 4 KiB piece holds a byte that is not zero.
///                The last block is hashed as it is, short. A page of zeroes only is not stored (length 0 in the
///                table).
/// map page     up to 64 KiB of the allocation map; opaque here, the engine writes and reads it
/// page table   for each page in order: u32 length | 32 bytes SHA-256 of the page (zero for length 0)
/// root         magic "RGIX" | u32 version 1 | u64 data length | u32 block bytes | u32 block pages | u32 map pages
///              | u64 map length | 32 bytes SHA-256 of the page table
/// </code>
/// The database keeps the index length and the SHA-256 of the root: with it every page, and through the pages every
/// block, is verified up to one value that the store cannot change.
/// </remarks>
public static class BlobIndex
{
    /// <summary>Bytes under one digest.</summary>
    public const int BlockBytes = 64 * 1024;

    /// <summary>Granularity in bytes at which zeroes are known.</summary>
    public const int PieceBytes = 4 * 1024;

    /// <summary>Blocks described by one page.</summary>
    public const int BlocksPerPage = 1024;

    /// <summary>Largest map page in bytes.</summary>
    public const int MapPageBytes = 64 * 1024;

    /// <summary>Bytes of data described by one page.</summary>
    public const long PageSpanBytes = (long)BlocksPerPage * BlockBytes;

    /// <summary>Pieces in a block: bits in its mask.</summary>
    public const int PiecesPerBlock = BlockBytes / PieceBytes;

    /// <summary>Bytes of the bitmap at the start of a block page.</summary>
    internal const int BitmapBytes = BlocksPerPage / 8;

    /// <summary>Bytes of a block's entry: mask and digest.</summary>
    internal const int BlockEntryBytes = sizeof(ushort) + DigestBytes;

    /// <summary>Bytes of an entry of the page table: length and digest.</summary>
    internal const int TableEntryBytes = sizeof(uint) + DigestBytes;

    /// <summary>Bytes of a SHA-256.</summary>
    internal const int DigestBytes = 32;

    /// <summary>Bytes of the root record at the end of the index.</summary>
    public const int RootBytes = 4 + 4 + 8 + 4 + 4 + 4 + 8 + 32;
}
