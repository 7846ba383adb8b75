using System.Buffers;
using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Convert;

/// <summary>The tables of a qcow2 file that is written front to back: filled while clusters are placed, written
/// last.</summary>
/// <remarks>
/// <code>
///   header | clusters as they are placed | refcount table | refcount blocks | L1 | L2 tables
/// </code>
/// Kept in memory meanwhile: 8 bytes for each guest cluster of a region that holds any, 2 for each cluster of the file.
/// </remarks>
internal sealed class QcowTables
{
    private const ulong AllSubclusters = 0xFFFF_FFFF;

    private readonly long virtualSize;
    private readonly QcowShape options;
    private readonly int clusterBits;
    private readonly ulong[]?[] tables;
    private readonly ulong maxReferences;
    private ushort[] references = new ushort[1024];

    /// <summary>Tables of an empty disk.</summary>
    /// <exception cref="DiskOperationException">The options contradict each other, or the disk does not
    /// fit.</exception>
    public QcowTables(long virtualSize, QcowShape options)
    {
        this.virtualSize = virtualSize;
        this.options = options;
        tables = new ulong[]?[options.CheckedTableCount(virtualSize)];
        clusterBits = options.ClusterBits;
        maxReferences = Math.Min(ushort.MaxValue, RefcountEntries.Max(options.RefcountOrder));
        Allocate(1);
    }

    /// <summary>Where the file ends so far; a multiple of the cluster size.</summary>
    public long End { get; private set; }

    /// <summary>Where a plain cluster is in the file; 0 when it is not placed.</summary>
    public long Host(long cluster) =>
        tables[cluster >> options.L2Bits] is { } table
            ? new L2Entry(table[cluster & ((1L << options.L2Bits) - 1)]).Offset
            : 0;

    /// <summary>Takes clusters at the end of the file, each referenced once.</summary>
    /// <returns>Where the first one is.</returns>
    public long Allocate(long count)
    {
        var first = End >> clusterBits;
        Reserve(first + count);
        references.AsSpan((int)first, (int)count).Fill(1);
        var at = End;
        End += count << clusterBits;
        return at;
    }

    /// <summary>Says where a plain cluster is.</summary>
    public void SetPlain(long cluster, long host) => Set(cluster, L1Entry.Copied | (ulong)host);

    /// <summary>Places a compressed cluster.</summary>
    /// <param name="cluster">The guest cluster.</param>
    /// <param name="length">Its bytes, less than a cluster.</param>
    /// <param name="after">The byte after the compressed cluster placed before, to continue there if possible; 0 for
    /// none.</param>
    /// <returns>Where its bytes go.</returns>
    public long AddCompressed(long cluster, int length, long after)
    {
        var host = Fits(after, length) ? after : End;
        var last = (host + length - 1) >> clusterBits;
        Reserve(last + 1);
        for (var index = host >> clusterBits; index <= last; index++)
        {
            references[index]++;
        }

        End = Math.Max(End, (last + 1) << clusterBits);
        Set(cluster, L2Entry.ForCompressed(host, length, clusterBits).Bits);
        return host;
    }

    /// <summary>Writes everything but the clusters, the header last: until then the file is not an image.</summary>
    public async ValueTask WriteAsync(IByteSink target, CancellationToken cancellationToken)
    {
        var dataClusters = End >> clusterBits;
        var tableCount = tables.Count(static table => table is not null);
        var l1Clusters = QcowLayout.ClusterCount(tables.Length * 8L, options.ClusterSize);
        var (refcountClusters, blocks) = options.CountRefcounts(dataClusters + l1Clusters + tableCount);
        var header = options.Header(virtualSize) with
        {
            L1Entries = (uint)tables.Length,
            L1Offset = (ulong)(End + ((refcountClusters + blocks) << clusterBits)),
            RefcountTableOffset = (ulong)End,
            RefcountTableClusters = (uint)refcountClusters,
        };
        var l2Offset = (long)header.L1Offset + (l1Clusters << clusterBits);
        var length = l2Offset + ((long)tableCount << clusterBits);
        await target.SetLengthAsync(length, cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(options.ClusterSize);
        try
        {
            var cluster = buffer.AsMemory(0, options.ClusterSize);
            await WriteRefcountsAsync(target, header, blocks, length, cluster, cancellationToken).ConfigureAwait(false);
            await WriteL2Async(target, l2Offset, cluster, cancellationToken).ConfigureAwait(false);
            await WriteL1Async(target, header, l2Offset, cancellationToken).ConfigureAwait(false);
            cluster.Span.Clear();
            header.WriteTo(cluster.Span);
            await target.WriteAsync(0, cluster, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Whether compressed bytes may go there: into the rest of a shared cluster whose count can still grow,
    /// and beyond it only at the end of the file.</summary>
    private bool Fits(long host, int length)
    {
        var within = host & (options.ClusterSize - 1);
        return within != 0
            && references[host >> clusterBits] < maxReferences
            && (within + length <= options.ClusterSize || (host >> clusterBits) + 1 == End >> clusterBits);
    }

    private void Reserve(long clusters)
    {
        if (clusters > references.Length)
        {
            Array.Resize(ref references, checked((int)Math.Max(clusters, references.Length * 2L)));
        }
    }

    private void Set(long cluster, ulong entry)
    {
        ref var table = ref tables[cluster >> options.L2Bits];
        table ??= new ulong[1 << options.L2Bits];
        table[cluster & ((1L << options.L2Bits) - 1)] = entry;
    }

    private async ValueTask WriteRefcountsAsync(
        IByteSink target, QcowHeader header, long blocks, long length, Memory<byte> buffer,
        CancellationToken cancellationToken)
    {
        var blocksOffset = (long)header.RefcountTableOffset + ((long)header.RefcountTableClusters << clusterBits);
        var table = new byte[(long)header.RefcountTableClusters << clusterBits];
        var perBlock = RefcountEntries.PerBlock(options.ClusterSize, options.RefcountOrder);
        var dataClusters = End >> clusterBits;
        for (long i = 0, cluster = 0; i < blocks; i++)
        {
            var offset = blocksOffset + (i << clusterBits);
            BinaryPrimitives.WriteInt64BigEndian(table.AsSpan((int)i * 8), offset);
            buffer.Span.Clear();
            for (var j = 0; j < perBlock && cluster < length >> clusterBits; j++, cluster++)
            {
                var count = cluster < dataClusters ? references[cluster] : 1UL; // a table
                RefcountEntries.Set(buffer.Span, j, options.RefcountOrder, count);
            }

            await target.WriteAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
        }

        await target.WriteAsync((long)header.RefcountTableOffset, table, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask WriteL1Async(
        IByteSink target, QcowHeader header, long l2Offset, CancellationToken cancellationToken)
    {
        var l1 = new byte[QcowLayout.ClusterCount(tables.Length * 8L, options.ClusterSize) << clusterBits];
        for (var i = 0; i < tables.Length; i++)
        {
            if (tables[i] is not null)
            {
                BinaryPrimitives.WriteUInt64BigEndian(l1.AsSpan(i * 8), L1Entry.Copied | (ulong)l2Offset);
                l2Offset += options.ClusterSize;
            }
        }

        await target.WriteAsync((long)header.L1Offset, l1, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask WriteL2Async(
        IByteSink target, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        foreach (var table in tables)
        {
            if (table is null)
            {
                continue;
            }

            for (var i = 0; i < table.Length; i++)
            {
                var entry = buffer.Span.Slice(i * options.EntrySize, options.EntrySize);
                BinaryPrimitives.WriteUInt64BigEndian(entry, table[i]);
                if (options.ExtendedL2)
                {
                    var isPlain = new L2Entry(table[i]) is { IsCompressed: false, Offset: not 0 };
                    BinaryPrimitives.WriteUInt64BigEndian(entry[8..], isPlain ? AllSubclusters : 0);
                }
            }

            await target.WriteAsync(offset, buffer, cancellationToken).ConfigureAwait(false);
            offset += options.ClusterSize;
        }
    }
}
