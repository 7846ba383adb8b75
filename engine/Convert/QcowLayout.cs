using System.Buffers.Binary;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Convert;

/// <summary>A whole qcow2 file, laid out before its first byte is written.</summary>
/// <remarks>
/// <code>
///   header | refcount table | refcount blocks | L1 | L2 tables in guest order | data clusters in guest order
/// </code>
/// Every cluster of the file has refcount 1, so all metadata follows from the set of allocated clusters and any range
/// of it is made when it is asked for. A reader far away gets all metadata with its first read.
/// </remarks>
public sealed class QcowLayout
{
    private const ulong AllSubclusters = 0xFFFF_FFFF;

    private readonly ClusterSet allocated;
    private readonly QcowShape options;
    private readonly int clusterBits;
    private readonly int l2Bits;
    private readonly ClusterSet l2Tables;
    private readonly QcowHeader header;
    private readonly long refcountBlocks;
    private readonly long blocksOffset;
    private readonly long l2Offset;

    /// <summary>Lays out a file.</summary>
    /// <param name="virtualSize">Bytes of the disk; a multiple of 512.</param>
    /// <param name="allocated">Its allocated clusters, sealed; as many bits as the disk has clusters.</param>
    /// <param name="options">Cluster size and version.</param>
    /// <exception cref="DiskOperationException">The disk does not fit the format with this cluster size.</exception>
    public QcowLayout(long virtualSize, ClusterSet allocated, QcowShape options)
    {
        ArgumentNullException.ThrowIfNull(allocated);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNotEqual(allocated.Clusters, ClusterCount(virtualSize, options.ClusterSize));
        this.allocated = allocated;
        this.options = options;
        VirtualSize = virtualSize;
        ClusterSize = options.ClusterSize;
        clusterBits = options.ClusterBits;
        l2Bits = options.L2Bits;
        _ = options.CheckedTableCount(virtualSize);
        l2Tables = TablesOf(allocated, l2Bits);
        var l1Clusters = ClusterCount(l2Tables.Clusters * 8, ClusterSize);
        var fixedClusters = 1 + l1Clusters + l2Tables.Count + allocated.Count;
        (var tableClusters, refcountBlocks) = options.CountRefcounts(fixedClusters);
        blocksOffset = (1 + tableClusters) << clusterBits;
        var l1Offset = blocksOffset + (refcountBlocks << clusterBits);
        l2Offset = l1Offset + (l1Clusters << clusterBits);
        MetadataLength = l2Offset + (l2Tables.Count << clusterBits);
        Length = MetadataLength + (allocated.Count << clusterBits);
        header = options.Header(virtualSize) with
        {
            L1Entries = (uint)l2Tables.Clusters,
            L1Offset = (ulong)l1Offset,
            RefcountTableOffset = (ulong)ClusterSize,
            RefcountTableClusters = (uint)tableClusters,
        };
    }

    /// <summary>Bytes of the disk.</summary>
    public long VirtualSize { get; }

    /// <summary>Bytes of a cluster.</summary>
    public int ClusterSize { get; }

    /// <summary>Bytes of the file, exactly.</summary>
    public long Length { get; }

    /// <summary>Bytes before the first data cluster.</summary>
    public long MetadataLength { get; }

    /// <summary>Clusters a disk of that size has.</summary>
    /// <param name="bytes">Bytes, 0 or more.</param>
    /// <param name="clusterSize">A power of two, 512 to 2 MiB.</param>
    public static long ClusterCount(long bytes, int clusterSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (!int.IsPow2(clusterSize) || clusterSize is < 512 or > 2 << 20)
        {
            throw new ArgumentException("A cluster is a power of two, 512 bytes to 2 MiB.", nameof(clusterSize));
        }

        return checked(bytes + clusterSize - 1) / clusterSize;
    }

    /// <summary>Lays out a file for an image's content.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="virtualSize">Bytes of the new disk; at least the image's, rounded up to 512.</param>
    /// <param name="options">Cluster size and version.</param>
    /// <param name="cancellationToken">Cancels the mapping.</param>
    public static async ValueTask<QcowLayout> ForAsync(
        Disks.DiskImage image, long virtualSize, QcowShape options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(options);
        virtualSize = checked(virtualSize + 511) & ~511L;
        ArgumentOutOfRangeException.ThrowIfLessThan(virtualSize, image.VirtualSize);
        var clusters = ClusterCount(virtualSize, options.ClusterSize);
        var allocated = await ClusterSet.FromMapAsync(image, options.ClusterSize, clusters, cancellationToken)
            .ConfigureAwait(false);
        return new QcowLayout(virtualSize, allocated, options);
    }

    /// <summary>Lays out a file in which every cluster is allocated.</summary>
    /// <param name="virtualSize">Bytes of the disk; a multiple of 512.</param>
    /// <param name="options">Shape of the file.</param>
    public static QcowLayout Full(long virtualSize, QcowShape options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var all = new ClusterSet(ClusterCount(virtualSize, options.ClusterSize));
        all.AddRange(0, all.Clusters);
        all.Seal();
        return new QcowLayout(virtualSize, all, options);
    }

    /// <summary>Where a guest byte is in the file; -1 when its cluster is not allocated.</summary>
    /// <param name="guestOffset">Guest byte, inside the disk.</param>
    public long HostOffset(long guestOffset)
    {
        var cluster = guestOffset >> clusterBits;
        return allocated.Contains(cluster)
            ? MetadataLength + (allocated.Rank(cluster) << clusterBits) + (guestOffset & (ClusterSize - 1))
            : -1;
    }

    /// <summary>Where the clusters before a guest byte end in the file.</summary>
    /// <param name="guestOffset">A multiple of the cluster size, or the disk's end.</param>
    public long HostEnd(long guestOffset) => MetadataLength
        + (allocated.Rank(Math.Min(allocated.Clusters, ClusterCount(guestOffset, ClusterSize))) << clusterBits);

    /// <summary>Which guest byte a byte of the file holds. In the last cluster it may lie past the disk's
    /// end.</summary>
    /// <param name="hostOffset">File offset, <see cref="MetadataLength"/> to <see cref="Length"/> exclusive.</param>
    public long GuestOffset(long hostOffset)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(hostOffset, MetadataLength);
        var within = hostOffset - MetadataLength;
        return (allocated.Select(within >> clusterBits) << clusterBits) + (within & (ClusterSize - 1));
    }

    /// <summary>Guest bytes from <paramref name="guestOffset"/> on that lie in allocated clusters, and so in one run of
    /// the file; at most <paramref name="maxLength"/>.</summary>
    public long AllocatedRun(long guestOffset, long maxLength)
    {
        var end = guestOffset + maxLength;
        var run = allocated.RunEnd(guestOffset >> clusterBits, ((end - 1) >> clusterBits) + 1);
        return Math.Max(0, Math.Min(end, run << clusterBits) - guestOffset);
    }

    /// <summary>The runs of the disk that are allocated, ascending, in whole clusters clipped to the disk.</summary>
    public IEnumerable<(long GuestOffset, long Length)> AllocatedRuns()
    {
        for (var first = allocated.Next(0); first < allocated.Clusters;)
        {
            var end = allocated.RunEnd(first, allocated.Clusters);
            yield return (first << clusterBits, Math.Min(end << clusterBits, VirtualSize) - (first << clusterBits));
            first = allocated.Next(end);
        }
    }

    /// <summary>Makes a range of the metadata.</summary>
    /// <param name="offset">First byte, a multiple of 8; offset + length is at most
    /// <see cref="MetadataLength"/>.</param>
    /// <param name="destination">Receives the bytes; its length is a multiple of 8.</param>
    public void ReadMetadata(long offset, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual((offset | (long)destination.Length) & 7, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, MetadataLength - offset);
        destination.Clear();
        var end = offset + destination.Length;
        WriteHeader(offset, destination);
        var table = (long)header.RefcountTableOffset;
        for (var at = Math.Max(offset, table); at < Math.Min(end, table + (refcountBlocks * 8)); at += 8)
        {
            var block = blocksOffset + ((at - table) / 8 << clusterBits);
            BinaryPrimitives.WriteInt64BigEndian(destination[(int)(at - offset)..], block);
        }

        WriteRefcounts(offset, destination);
        WriteL1(offset, destination);
        WriteL2(offset, destination);
    }

    private static ClusterSet TablesOf(ClusterSet allocated, int l2Bits)
    {
        var tables = new ClusterSet((allocated.Clusters + (1L << l2Bits) - 1) >> l2Bits);
        for (var next = allocated.Next(0); next < allocated.Clusters;)
        {
            var table = next >> l2Bits;
            tables.AddRange(table, table + 1);
            next = allocated.Next((table + 1) << l2Bits);
        }

        tables.Seal();
        return tables;
    }

    /// <summary>All refcounts are 1: the blocks are a run of the same few bytes, one count for each cluster of the
    /// file.</summary>
    private void WriteRefcounts(long offset, Span<byte> destination)
    {
        Span<byte> ones = stackalloc byte[8];
        var order = options.RefcountOrder;
        var perWord = 64 >> order;
        for (var i = 0; i < perWord; i++)
        {
            RefcountEntries.Set(ones, i, order, 1);
        }

        var clusters = Length >> clusterBits;
        var wholeEnd = blocksOffset + (clusters / perWord * 8);
        var end = Math.Min(offset + destination.Length, wholeEnd);
        for (var at = Math.Max(offset, blocksOffset); at < end; at += 8)
        {
            ones.CopyTo(destination[(int)(at - offset)..]);
        }

        if (wholeEnd >= offset && wholeEnd < offset + destination.Length)
        {
            for (var i = 0; i < clusters % perWord; i++)
            {
                RefcountEntries.Set(destination[(int)(wholeEnd - offset)..], i, order, 1);
            }
        }
    }

    private void WriteHeader(long offset, Span<byte> destination)
    {
        if (offset >= QcowHeader.Version3Size)
        {
            return;
        }

        Span<byte> bytes = stackalloc byte[QcowHeader.Version3Size];
        bytes.Clear();
        header.WriteTo(bytes);
        var piece = bytes[(int)offset..];
        piece[..Math.Min(piece.Length, destination.Length)].CopyTo(destination);
    }

    private void WriteL1(long offset, Span<byte> destination)
    {
        var start = (long)header.L1Offset;
        var end = Math.Min(offset + destination.Length, start + (l2Tables.Clusters * 8));
        var at = Math.Max(offset, start);
        if (at >= end)
        {
            return;
        }

        var last = (end - start) / 8;
        var table = l2Tables.Next((at - start) / 8);
        for (var rank = table < last ? l2Tables.Rank(table) : 0; table < last; table = l2Tables.Next(table + 1), rank++)
        {
            var entry = L1Entry.Copied | (ulong)(l2Offset + (rank << clusterBits));
            BinaryPrimitives.WriteUInt64BigEndian(destination[(int)(start + (table * 8) - offset)..], entry);
        }
    }

    private void WriteL2(long offset, Span<byte> destination)
    {
        var end = Math.Min(offset + destination.Length, MetadataLength);
        var at = Math.Max(offset, l2Offset);
        if (at >= end)
        {
            return;
        }

        // Tables are stored in guest order, so the first one needed is found by its rank.
        var table = l2Tables.Select((at - l2Offset) >> clusterBits);
        while (at < end)
        {
            var tableStart = l2Offset + (l2Tables.Rank(table) << clusterBits);
            var tableEnd = Math.Min(end, tableStart + ClusterSize);
            var first = (table << l2Bits) + ((at - tableStart) / options.EntrySize);
            var last = Math.Min(
                allocated.Clusters,
                (table << l2Bits) + ((tableEnd - tableStart + options.EntrySize - 1) / options.EntrySize));
            var cluster = allocated.Next(first);
            for (var rank = cluster < last ? allocated.Rank(cluster) : 0; cluster < last; rank++)
            {
                var entry = L1Entry.Copied | (ulong)(MetadataLength + (rank << clusterBits));
                var position = tableStart + ((cluster - (table << l2Bits)) * options.EntrySize) - offset;
                WriteWord(destination, position, entry);
                if (options.ExtendedL2)
                {
                    WriteWord(destination, position + 8, AllSubclusters);
                }

                cluster = allocated.Next(cluster + 1);
            }

            at = tableEnd;
            table = l2Tables.Next(table + 1);
        }
    }

    /// <summary>Writes a word unless it lies outside: a range may begin or end between the two of an entry.</summary>
    private static void WriteWord(Span<byte> destination, long position, ulong word)
    {
        if (position >= 0 && position < destination.Length)
        {
            BinaryPrimitives.WriteUInt64BigEndian(destination[(int)position..], word);
        }
    }
}
