namespace Registry.Engine.Qcow2.Writing;

/// <summary>An L2 entry with its subclusters, one way for both kinds of table: an entry without subclusters is one
/// subcluster that is the whole cluster.</summary>
/// <param name="Bits">The entry's first word.</param>
/// <param name="Bitmap">Its second word: bits 0 to 31 allocated, 32 to 63 zero. 0 in plain tables.</param>
/// <param name="IsExtended">Whether the table has second words.</param>
internal readonly record struct ClusterEntry(ulong Bits, ulong Bitmap, bool IsExtended)
{
    private const ulong ZeroFlag = 1;

    /// <summary>Subclusters of a cluster.</summary>
    public int Units => IsExtended ? 32 : 1;

    /// <summary>All subclusters, a bit each.</summary>
    public uint AllUnits => IsExtended ? uint.MaxValue : 1;

    /// <summary>Whether the cluster is compressed.</summary>
    public bool IsCompressed => new L2Entry(Bits).IsCompressed;

    /// <summary>File offset of a standard cluster, 0 when there is none; meaningless when compressed.</summary>
    public long Host => IsCompressed ? 0 : new L2Entry(Bits).Offset;

    /// <summary>Whether nothing else references the cluster, so that it may be written in place.</summary>
    public bool IsCopied => !IsCompressed && (Bits & L1Entry.Copied) != 0;

    /// <summary>Whether nothing is said: the backing file's content shows through.</summary>
    public bool IsAbsent => !IsCompressed && Allocated == 0 && Zero == 0;

    /// <summary>Subclusters whose content is stored at <see cref="Host"/> (which may be 0 in an external data file,
    /// where only "copied" tells it from none).</summary>
    public uint Allocated => IsCompressed ? 0
        : IsExtended ? (uint)Bitmap
        : (Host != 0 || IsCopied) && (Bits & ZeroFlag) == 0 ? 1u : 0;

    /// <summary>Subclusters that read as zeroes.</summary>
    public uint Zero => IsCompressed ? 0 : IsExtended ? (uint)(Bitmap >> 32) : (uint)(Bits & ZeroFlag);

    /// <summary>An entry that says nothing.</summary>
    public static ClusterEntry Absent(bool isExtended) => new(0, 0, isExtended);

    /// <summary>A standard cluster.</summary>
    /// <param name="host">Its file offset; 0 for none.</param>
    /// <param name="copied">Whether this is the only reference to it.</param>
    /// <param name="allocated">Subclusters stored there.</param>
    /// <param name="zero">Subclusters that read as zeroes; none of those stored.</param>
    /// <param name="isExtended">Whether the table has second words.</param>
    public static ClusterEntry Standard(long host, bool copied, uint allocated, uint zero, bool isExtended)
    {
        var bits = (ulong)host | (copied ? L1Entry.Copied : 0);
        return isExtended
            ? new ClusterEntry(bits, ((ulong)zero << 32) | allocated, true)
            : new ClusterEntry(bits | (zero & ZeroFlag), 0, false);
    }

    /// <summary>A compressed cluster.</summary>
    /// <param name="offset">First byte in the file.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="clusterBits">log2 of the cluster size.</param>
    /// <param name="isExtended">Whether the table has second words.</param>
    public static ClusterEntry Compressed(long offset, int length, int clusterBits, bool isExtended) =>
        new(L2Entry.ForCompressed(offset, length, clusterBits).Bits, 0, isExtended);

    /// <summary>The same with another "copied" flag.</summary>
    public ClusterEntry WithCopied(bool copied) =>
        this with { Bits = copied ? Bits | L1Entry.Copied : Bits & ~L1Entry.Copied };
}
