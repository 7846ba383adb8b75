using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

/// <summary>The reference counts of an image that is being changed, and with them its free clusters (format, section
/// 3).</summary>
/// <remarks>
/// Counts go up here before anything points at a cluster, and come down only once nothing on disk does
/// (<see cref="Release"/>, then <see cref="ApplyReleasesAsync"/>). So a block may be written at any time: a crash
/// leaves
/// counts that are too high, which is space lost and nothing else.
/// </remarks>
internal sealed partial class Refcounts
{
    private const int CacheBytes = 16 << 20;
    private const int MaxTableBytes = 8 << 20;

    private readonly IByteFile file;
    private readonly int clusterBits;
    private readonly int order;
    private readonly int perBlock;
    private readonly Dictionary<int, RefcountBlock> cache = [];
    private readonly List<(long First, long Count)> releases = [];
    private readonly HashSet<long> blockClusters = [];
    private ulong[] table;
    private (int First, int End) dirtyEntries;
    private long clock;
    private long hint;

    /// <param name="file">The image.</param>
    /// <param name="clusterBits">log2 of the cluster size.</param>
    /// <param name="order">log2 of the counts' width in bits.</param>
    /// <param name="table">The refcount table's entries.</param>
    /// <param name="tableOffset">Where it is stored.</param>
    public Refcounts(IByteFile file, int clusterBits, int order, ulong[] table, long tableOffset)
    {
        this.file = file;
        this.clusterBits = clusterBits;
        this.order = order;
        this.table = table;
        perBlock = RefcountEntries.PerBlock(1 << clusterBits, order);
        TableOffset = tableOffset;
        foreach (var entry in table)
        {
            if ((entry & ~511UL) != 0)
            {
                blockClusters.Add((long)(entry >> clusterBits));
            }
        }

        TableClusters = (int)((table.Length * 8L) >> clusterBits);
    }

    /// <summary>Where the table is stored, as the header should say.</summary>
    public long TableOffset { get; private set; }

    /// <summary>Clusters of the stored table, as the header should say.</summary>
    public int TableClusters { get; private set; }

    /// <summary>Whether clusters wait to be given back.</summary>
    public bool HasReleases => releases.Count > 0;

    /// <summary>The largest count.</summary>
    public ulong Max => RefcountEntries.Max(order);

    private int ClusterSize => 1 << clusterBits;

    /// <summary>The count of a cluster.</summary>
    public async ValueTask<ulong> GetAsync(long cluster, CancellationToken cancellationToken)
    {
        var block = await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false);
        return block is null ? 0 : RefcountEntries.Get(block.Bytes, (int)(cluster % perBlock), order);
    }

    /// <summary>Whether a refcount block is stored in one of some clusters.</summary>
    public bool HasBlockIn(long first, long last)
    {
        for (var cluster = first; cluster <= last; cluster++)
        {
            if (blockClusters.Contains(cluster))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Counts further references to clusters that are in use.</summary>
    /// <exception cref="ImageFormatException"><see cref="FormatError.RefcountOverflow"/>: a count would not fit;
    /// <see cref="FormatError.InvalidTableEntry"/>: a cluster that is pointed at has no count.</exception>
    public async ValueTask AddAsync(long first, long count, CancellationToken cancellationToken)
    {
        for (var cluster = first; cluster < first + count; cluster++)
        {
            var block = await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false);
            var at = (int)(cluster % perBlock);
            var old = block is null ? 0 : RefcountEntries.Get(block.Bytes, at, order);
            if (old == 0)
            {
                throw new ImageFormatException(
                    FormatError.InvalidTableEntry,
                    $"The cluster at {cluster << clusterBits} is used but not counted. Repair the image first.");
            }

            if (old == Max)
            {
                throw new ImageFormatException(
                    FormatError.RefcountOverflow,
                    $"The cluster at {cluster << clusterBits} has {old} references; the image cannot count more.");
            }

            Set(block!, at, old + 1);
        }
    }

    /// <summary>Whether clusters may be referenced once more.</summary>
    public async ValueTask<bool> CanAddAsync(long cluster, CancellationToken cancellationToken) =>
        await GetAsync(cluster, cancellationToken).ConfigureAwait(false) is var count && count > 0 && count < Max;

    /// <summary>Notes that one reference to each of some clusters is gone; the counts follow when
    /// <see cref="ApplyReleasesAsync"/> says so.</summary>
    public void Release(long first, long count)
    {
        if (releases.Count > 0 && releases[^1] is var last && last.First + last.Count == first)
        {
            releases[^1] = (last.First, last.Count + count);
        }
        else
        {
            releases.Add((first, count));
        }
    }

    /// <summary>Lowers the counts of everything released. Only once no table on disk has those references.</summary>
    /// <returns>Runs of clusters that nothing uses any more.</returns>
    public async ValueTask<List<(long First, long Count)>> ApplyReleasesAsync(CancellationToken cancellationToken)
    {
        var free = new List<(long First, long Count)>();
        foreach (var (first, count) in releases)
        {
            for (var cluster = first; cluster < first + count; cluster++)
            {
                var block = await FindBlockAsync(cluster / perBlock, cancellationToken).ConfigureAwait(false);
                var at = (int)(cluster % perBlock);
                var old = block is null ? 0 : RefcountEntries.Get(block.Bytes, at, order);
                if (old == 0)
                {
                    // Counted too low already: a damaged image. Lowering it further is impossible; using it is worse.
                    continue;
                }

                Set(block!, at, old - 1);
                if (old == 1)
                {
                    hint = Math.Min(hint, cluster);
                    AddRun(free, cluster);
                }
            }
        }

        releases.Clear();
        return free;
    }

    /// <summary>Writes all counts, then the table's entries, so that what is pointed at from now on is counted on
    /// disk.</summary>
    /// <returns>Whether the table moved: the header must be written, and then the old table released.</returns>
    public async ValueTask<(long First, long Count)?> WriteAsync(CancellationToken cancellationToken)
    {
        (long First, long Count)? old = null;
        if (table.Length * 8L > (long)TableClusters << clusterBits)
        {
            old = await MoveTableAsync(cancellationToken).ConfigureAwait(false);
        }

        foreach (var block in cache.Values)
        {
            await WriteBlockAsync(block, cancellationToken).ConfigureAwait(false);
        }

        if (dirtyEntries.End > dirtyEntries.First)
        {
            // A table entry must never lead to a block whose counts are not there yet.
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
            await WriteTableAsync(cancellationToken).ConfigureAwait(false);
        }

        return old;
    }

    private static void AddRun(List<(long First, long Count)> runs, long cluster)
    {
        if (runs.Count > 0 && runs[^1] is var last && last.First + last.Count == cluster)
        {
            runs[^1] = (last.First, last.Count + 1);
        }
        else
        {
            runs.Add((cluster, 1));
        }
    }

    private static void Touch(ref (int First, int End) range, int entry) =>
        range = range.End == range.First
            ? (entry, entry + 1)
            : (Math.Min(range.First, entry), Math.Max(range.End, entry + 1));

    private void Set(RefcountBlock block, int at, ulong value)
    {
        RefcountEntries.Set(block.Bytes, at, order, value);
        block.IsDirty = true;
    }

    private long BlockOffset(long index) => index < table.Length ? (long)(table[index] & ~511UL) : 0;

    private async ValueTask<RefcountBlock?> FindBlockAsync(long index, CancellationToken cancellationToken)
    {
        var offset = BlockOffset(index);
        if (offset == 0)
        {
            return null;
        }

        if (!cache.TryGetValue((int)index, out var block))
        {
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            if ((offset & (ClusterSize - 1)) != 0 || offset > file.Length - ClusterSize)
            {
                throw new ImageFormatException(
                    (offset & (ClusterSize - 1)) != 0 ? FormatError.Misaligned : FormatError.OutsideFile,
                    $"The refcount block at {offset} is not a cluster of the file. Repair the image first.");
            }

            var bytes = new byte[ClusterSize];
            if (await file.ReadAsync(offset, bytes, cancellationToken).ConfigureAwait(false) < bytes.Length)
            {
                throw new EndOfStreamException("The image's bytes end inside a refcount block.");
            }

            block = new RefcountBlock((int)index, offset, bytes);
            cache.Add((int)index, block);
        }

        block.LastUse = ++clock;
        return block;
    }

    private async ValueTask MakeRoomAsync(CancellationToken cancellationToken)
    {
        while (cache.Count > Math.Max(4, CacheBytes >> clusterBits))
        {
            var oldest = cache.Values.MinBy(static block => block.LastUse)!;
            await WriteBlockAsync(oldest, cancellationToken).ConfigureAwait(false);
            cache.Remove(oldest.Index);
        }
    }

    private async ValueTask WriteBlockAsync(RefcountBlock block, CancellationToken cancellationToken)
    {
        if (block.IsDirty)
        {
            await file.WriteAsync(block.Offset, block.Bytes, cancellationToken).ConfigureAwait(false);
            block.IsDirty = false;
        }
    }

    private async ValueTask WriteTableAsync(CancellationToken cancellationToken)
    {
        var (first, end) = dirtyEntries;
        var bytes = new byte[(end - first) * 8];
        for (var i = first; i < end; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan((i - first) * 8), table[i]);
        }

        await file.WriteAsync(TableOffset + (first * 8L), bytes, cancellationToken).ConfigureAwait(false);
        dirtyEntries = default;
    }
}
