namespace Registry.Engine.Qcow2.Checking;

/// <summary>What the words of L1 and L2 tables may say, as qemu-img judges them.</summary>
internal static class EntryRules
{
    /// <summary>Bits of an L1 entry that must be 0.</summary>
    public const ulong L1Reserved = 0x7F00_0000_0000_01FF;

    /// <summary>Bits of a standard L2 entry that must be 0. Bit 0 is the zero flag.</summary>
    public const ulong L2Reserved = 0x3F00_0000_0000_01FE;

    /// <summary>Bits of a refcount table entry that must be 0.</summary>
    public const ulong RefcountTableReserved = 0x1FF;

    /// <summary>Bits that hold the offset of a table or cluster.</summary>
    public const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    /// <summary>Bit 63: the target is referenced once.</summary>
    public const ulong Copied = 1UL << 63;

    /// <summary>Bit 62 of an L2 entry.</summary>
    public const ulong Compressed = 1UL << 62;

    /// <summary>Bit 0 of an L2 entry, without subclusters.</summary>
    public const ulong Zero = 1;

    /// <summary>The half of a subcluster bitmap that says which are allocated.</summary>
    public const ulong AllocatedSubclusters = 0xFFFF_FFFF;

    /// <summary>Whether an entry names a standard cluster, zero or not.</summary>
    /// <param name="entry">The entry, not compressed.</param>
    /// <param name="image">Its image: with a data file a cluster at offset 0 is known by its copied flag.</param>
    public static bool HasCluster(ulong entry, CheckedImage image) =>
        (entry & OffsetMask) != 0
        || (image.HasDataFile && (entry & Copied) != 0
            && ((entry & Zero) == 0 || image.Header.L2EntrySize == 16));
}
