namespace Registry.Engine.Qcow2;

/// <summary>One word of an L1 table.</summary>
/// <param name="Bits">The word: bits 9 to 55 hold the L2 table's offset, bit 63 says its refcount is exactly 1.</param>
internal readonly record struct L1Entry(ulong Bits)
{
    /// <summary>Bit 63: the target is referenced once and may be written in place.</summary>
    public const ulong Copied = 1UL << 63;

    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    /// <summary>File offset of the L2 table; 0 when there is none.</summary>
    public long Offset => (long)(Bits & OffsetMask);
}

/// <summary>One word of an L2 table (the first of two with extended entries).</summary>
/// <param name="Bits">The word.</param>
internal readonly record struct L2Entry(ulong Bits)
{
    private const ulong CompressedFlag = 1UL << 62;
    private const ulong ZeroFlag = 1;
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    /// <summary>Bit 62: the cluster is compressed.</summary>
    public bool IsCompressed => (Bits & CompressedFlag) != 0;

    /// <summary>Bit 0: the cluster reads as zeroes, whatever it is stored as. Version 3 only.</summary>
    public bool IsZero => (Bits & ZeroFlag) != 0;

    /// <summary>File offset of a standard cluster; 0 when there is none.</summary>
    public long Offset => (long)(Bits & OffsetMask);

    /// <summary>File offset, not aligned, of a compressed cluster's first byte.</summary>
    public long CompressedOffset(int clusterBits) => (long)(Bits & ((1UL << OffsetBits(clusterBits)) - 1));

    /// <summary>Bytes from <see cref="CompressedOffset"/> to the end of the last sector it touches: 1 to two
    /// clusters.</summary>
    public int CompressedLength(int clusterBits)
    {
        var sectors = (int)(Bits >> OffsetBits(clusterBits)) & ((1 << (clusterBits - 8)) - 1);
        return ((sectors + 1) * 512) - (int)(CompressedOffset(clusterBits) & 511);
    }

    /// <summary>The entry of a compressed cluster.</summary>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="length">Bytes, 1 to two clusters.</param>
    /// <param name="clusterBits">log2 of the cluster size.</param>
    /// <exception cref="OverflowException">The offset is beyond what such an entry holds.</exception>
    public static L2Entry ForCompressed(long offset, int length, int clusterBits)
    {
        var furtherSectors = ((offset + length - 1) >> 9) - (offset >> 9);
        return offset >> OffsetBits(clusterBits) == 0
            ? new L2Entry(CompressedFlag | ((ulong)furtherSectors << OffsetBits(clusterBits)) | (ulong)offset)
            : throw new OverflowException($"A compressed cluster cannot lie at {offset}.");
    }

    private static int OffsetBits(int clusterBits) => 62 - (clusterBits - 8);
}
