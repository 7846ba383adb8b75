using System.Buffers.Binary;
using System.Numerics;

namespace Registry.Storage.Blobs;

/// <summary>What an index says of 1024 blocks; layout in <see cref="BlobIndex"/>.</summary>
internal sealed class BlockPage
{
    /// <summary>Pieces described by a page.</summary>
    public const int Pieces = BlobIndex.BlocksPerPage * BlobIndex.PiecesPerBlock;

    private const int WordBlocks = 64;

    private readonly byte[] _bytes;
    // a 64-bit word of the bitmap
    private readonly ushort[] _entriesBefore = new ushort[BlobIndex.BlocksPerPage / WordBlocks];

    private BlockPage(byte[] bytes) => _bytes = bytes;

    /// <summary>Takes a page whose digest was checked.</summary>
    /// <returns>Null when its length does not fit its bitmap.</returns>
    public static BlockPage? TryParse(byte[] bytes)
    {
        if (bytes.Length < BlobIndex.BitmapBytes)
        {
            return null;
        }

        var page = new BlockPage(bytes);
        var entries = 0;
        for (var word = 0; word < page._entriesBefore.Length; word++)
        {
            page._entriesBefore[word] = (ushort)entries;
            entries += BitOperations.PopCount(page.Word(word));
        }

        return bytes.Length == BlobIndex.BitmapBytes + (entries * BlobIndex.BlockEntryBytes) ? page : null;
    }

    /// <summary>Which pieces of a block hold data; 0 for a block of zeroes.</summary>
    public ushort Mask(int block) =>
        HasData(block) ? BinaryPrimitives.ReadUInt16LittleEndian(_bytes.AsSpan(Entry(block))) : (ushort)0;

    /// <summary>SHA-256 of a block that is not all zeroes.</summary>
    public ReadOnlySpan<byte> Digest(int block) =>
        _bytes.AsSpan(Entry(block) + sizeof(ushort), BlobIndex.DigestBytes);

    /// <summary>Where the run that starts at a piece ends: the first piece after it that is of the other
    /// kind.</summary>
    public int RunEnd(int piece, bool isZero)
    {
        var block = piece / BlobIndex.PiecesPerBlock;
        var skipped = piece % BlobIndex.PiecesPerBlock;
        for (; block < BlobIndex.BlocksPerPage; block++, skipped = 0)
        {
            int mask = Mask(block);
            var enders = (isZero ? mask : ~mask & ushort.MaxValue) >> skipped;
            if (enders != 0)
            {
                return (block * BlobIndex.PiecesPerBlock) + skipped + BitOperations.TrailingZeroCount(enders);
            }
        }

        return Pieces;
    }

    private bool HasData(int block) => (_bytes[block / 8] & (1 << (block % 8))) != 0;

    private int Entry(int block)
    {
        var word = block / WordBlocks;
        var before = Word(word) & ((1UL << (block % WordBlocks)) - 1);
        return BlobIndex.BitmapBytes
            + ((_entriesBefore[word] + BitOperations.PopCount(before)) * BlobIndex.BlockEntryBytes);
    }

    private ulong Word(int word) => BinaryPrimitives.ReadUInt64LittleEndian(_bytes.AsSpan(word * sizeof(ulong)));
}
