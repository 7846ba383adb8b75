using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>What a new qcow2 file shall be.</summary>
public sealed record QcowShape
{
    private const long MaxL1Bytes = 32 << 20;

    /// <summary>64 KiB clusters, version 3.</summary>
    public static QcowShape Default { get; } = new();

    /// <summary>Cluster size in bytes: a power of two, 512 to 2 MiB; at least 16 KiB with extended L2.</summary>
    public int ClusterSize { get; init; } = 64 << 10;

    /// <summary>2 (compat 0.10) or 3 (compat 1.1).</summary>
    public int Version { get; init; } = 3;

    /// <summary>Width of a reference count in bits: 1, 2, 4, 8, 16, 32 or 64; version 2 knows 16 only.</summary>
    public int RefcountBits { get; init; } = 16;

    /// <summary>Whether a writer may postpone reference counts. Version 3 only.</summary>
    public bool LazyRefcounts { get; init; }

    /// <summary>How clusters are compressed when any is: deflate, or zstd from version 3 on.</summary>
    public ClusterCompression Compression { get; init; } = ClusterCompression.Deflate;

    /// <summary>Whether clusters have 32 subclusters each. Version 3 only.</summary>
    public bool ExtendedL2 { get; init; }

    internal int ClusterBits => int.Log2(ClusterSize);

    internal int RefcountOrder => int.Log2(RefcountBits);

    /// <summary>Bytes of one L2 entry.</summary>
    internal int EntrySize => ExtendedL2 ? 16 : 8;

    /// <summary>log2 of the entries in one L2 table.</summary>
    internal int L2Bits => ClusterBits - int.Log2(EntrySize);

    /// <summary>Judges the options together.</summary>
    /// <exception cref="DiskOperationException">They contradict each other or the format.</exception>
    public void Validate()
    {
        Require(Version is 2 or 3, $"qcow2 version {Version} cannot be written.");
        Require(
            ClusterSize is >= 512 and <= 2 << 20 && int.IsPow2(ClusterSize),
            "Cluster size must be a power of two between 512 and 2048k.");
        Require(
            RefcountBits is >= 1 and <= 64 && int.IsPow2(RefcountBits),
            "Refcount width must be a power of two and may not exceed 64 bits.");
        Require(
            Version >= 3 || RefcountBits == 16,
            "Different refcount widths than 16 bits require compatibility level 1.1 or above.");
        Require(
            Version >= 3 || !LazyRefcounts, "Lazy refcounts only supported with compatibility level 1.1 and above.");
        Require(Compression is ClusterCompression.Deflate or ClusterCompression.Zstd, "Clusters are zlib or zstd.");
        Require(
            Version >= 3 || Compression == ClusterCompression.Deflate,
            "Non-zlib compression type is only supported with compatibility level 1.1 and above.");
        Require(
            Version >= 3 || !ExtendedL2,
            "Extended L2 entries are only supported with compatibility level 1.1 and above.");
        Require(
            !ExtendedL2 || ClusterSize >= 16 << 10,
            "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes.");
    }

    /// <summary>L1 entries of a disk; also judges the options.</summary>
    /// <param name="virtualSize">Bytes of the disk, a multiple of 512.</param>
    /// <exception cref="DiskOperationException">The options contradict each other, or the disk does not
    /// fit.</exception>
    internal int CheckedTableCount(long virtualSize)
    {
        Validate();
        var clusters = (virtualSize >> ClusterBits) + ((virtualSize & (ClusterSize - 1)) == 0 ? 0 : 1);
        var tables = (clusters + (1L << L2Bits) - 1) >> L2Bits;
        Require(
            tables * 8 <= MaxL1Bytes,
            "The image size is too large for this cluster size (try using a larger cluster size).");
        return (int)tables;
    }

    /// <summary>A new file's header, tables not placed yet.</summary>
    internal QcowHeader Header(long virtualSize) => new()
    {
        Version = (uint)Version,
        ClusterBits = (uint)ClusterBits,
        Size = (ulong)virtualSize,
        RefcountOrder = (uint)RefcountOrder,
        HeaderLength = (uint)(Version == 2 ? QcowHeader.Version2Size : QcowHeader.Version3Size),
        CompressionType = (byte)(Compression == ClusterCompression.Zstd ? 1 : 0),
        Compatible = LazyRefcounts ? QcowCompatible.LazyRefcounts : QcowCompatible.None,
        Incompatible = (Compression == ClusterCompression.Zstd ? QcowIncompatible.CompressionType : 0)
            | (ExtendedL2 ? QcowIncompatible.ExtendedL2 : 0),
    };

    /// <summary>Refcount blocks and table clusters that cover all clusters, themselves included.</summary>
    /// <param name="otherClusters">Clusters of everything else.</param>
    internal (long TableClusters, long Blocks) CountRefcounts(long otherClusters)
    {
        var perBlockBits = ClusterBits + 3 - RefcountOrder;
        long blocks = 1;
        long tableClusters = 1;
        while (true)
        {
            var total = otherClusters + blocks + tableClusters;
            var neededBlocks = (total + (1L << perBlockBits) - 1) >> perBlockBits;
            var neededTable = ((neededBlocks * 8) + (1L << ClusterBits) - 1) >> ClusterBits;
            if (neededBlocks <= blocks && neededTable <= tableClusters)
            {
                return (tableClusters, blocks);
            }

            blocks = Math.Max(blocks, neededBlocks);
            tableClusters = Math.Max(tableClusters, neededTable);
        }
    }

    private static void Require(bool condition, string sentence)
    {
        if (!condition)
        {
            throw new DiskOperationException(sentence);
        }
    }
}
