using System.Buffers.Binary;
using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>The counts that the image stores, against those that its references make.</summary>
internal sealed class StoredCounts
{
    private const ulong OffsetMask = ~511UL;
    private const int OnesBits = 15;
    private const int LookupCost = 64;

    private readonly CheckedImage image;
    private readonly PaddedReader reader;
    private readonly CheckBudget budget;
    private readonly int order;
    private readonly int perBlock;

    // Which clusters have a stored count of exactly one, a bit each: all that the copied flags ask for.
    private readonly ulong[]?[] ones;
    private long comparedClusters;

    private StoredCounts(CheckedImage image, PaddedReader reader, CheckBudget budget, ulong[] table)
    {
        this.image = image;
        this.reader = reader;
        this.budget = budget;
        Table = table;
        order = (int)image.Header.RefcountOrder;
        perBlock = RefcountEntries.PerBlock(image.ClusterSize, order);
        ones = new ulong[]?[(image.FileClusters >> OnesBits) + 2];
    }

    /// <summary>The refcount table.</summary>
    public ulong[] Table { get; }

    /// <summary>Clusters that are referenced more often than counted.</summary>
    public long Errors { get; private set; }

    /// <summary>Clusters that are counted more often than referenced.</summary>
    public long Leaks { get; private set; }

    /// <summary>Clusters whose stored count cannot be read.</summary>
    public long Unreadable { get; private set; }

    /// <summary>Whether a referenced cluster has a stored count of 0, or of a block that is missing.</summary>
    public bool HasUncounted { get; private set; }

    /// <summary>Whether a referenced cluster's count has no block to stand in.</summary>
    public bool LacksBlock { get; private set; }

    /// <summary>Last cluster that is referenced or counted.</summary>
    public long HighestCluster { get; private set; }

    /// <summary>Reads the refcount table.</summary>
    public static async ValueTask<StoredCounts> ReadAsync(
        CheckedImage image, IByteSource source, CheckBudget budget, CancellationToken cancellationToken)
    {
        // Its own reader: what another one has read stays while a count is looked up.
        var reader = new PaddedReader(source);
        var clusters = image.ClustersInside((long)image.Header.RefcountTableOffset, image.Header.RefcountTableClusters);
        var table = new ulong[clusters * (image.ClusterSize / 8)];
        var perCluster = image.ClusterSize / 8;
        for (var i = 0; i < table.Length; i += perCluster)
        {
            var bytes = await reader
                .ReadAsync((long)image.Header.RefcountTableOffset + (i * 8L), image.ClusterSize, cancellationToken)
                .ConfigureAwait(false);
            for (var j = 0; j < perCluster; j++)
            {
                table[i + j] = BinaryPrimitives.ReadUInt64BigEndian(bytes.Span[(j * 8)..]);
            }
        }

        return new StoredCounts(image, reader, budget, table);
    }

    /// <summary>Where a block of the table is; 0 when there is none.</summary>
    public static ulong Offset(ulong entry) => entry & OffsetMask;

    /// <summary>Whether a block can be read: aligned and addressable. One outside the file reads as zeroes.</summary>
    public bool IsReadable(ulong entry) =>
        image.IsAligned(Offset(entry)) && Offset(entry) <= (ulong)(long.MaxValue - image.ClusterSize);

    /// <summary>Compares the counts of all clusters.</summary>
    public async ValueTask CompareAsync(ReferenceCounts references, CancellationToken cancellationToken)
    {
        comparedClusters = references.Clusters;
        for (long first = 0, index = 0; first < comparedClusters; first += perBlock, index++)
        {
            var count = (int)Math.Min(perBlock, comparedClusters - first);
            var entry = index < Table.Length ? Table[index] : 0;
            if (Offset(entry) == 0)
            {
                CompareMissing(references, first, count);
            }
            else if (!IsReadable(entry))
            {
                Unreadable += count;
            }
            else
            {
                budget.Spend(count / 16);
                var block = await reader.ReadAsync((long)Offset(entry), image.ClusterSize, cancellationToken)
                    .ConfigureAwait(false);
                CompareBlock(references, block.Span, first, count);
            }
        }
    }

    /// <summary>Whether a cluster's stored count is exactly one; null when it cannot be read.</summary>
    public async ValueTask<bool?> IsOneAsync(long cluster, CancellationToken cancellationToken)
    {
        var index = cluster / perBlock;
        if (index >= Table.Length || Offset(Table[index]) == 0)
        {
            return false;
        }

        if (!IsReadable(Table[index]))
        {
            return null;
        }

        if (cluster < comparedClusters)
        {
            return IsOne(cluster);
        }

        // Outside the file, yet counted: rare, and dear.
        budget.Spend(LookupCost);
        var within = (int)(cluster % perBlock);
        var position = (long)((ulong)within << order >> 3) & ~7;
        var bytes = await reader.ReadAsync((long)Offset(Table[index]) + position, 8, cancellationToken)
            .ConfigureAwait(false);
        return RefcountEntries.Get(bytes.Span, within - (int)(position * 8 >> order), order) == 1;
    }

    /// <summary><see cref="IsOneAsync"/> for a cluster inside the file and a readable block.</summary>
    public bool IsOne(long cluster) =>
        ones[cluster >> OnesBits] is { } page
        && (page[(cluster & ((1 << OnesBits) - 1)) >> 6] >> (int)(cluster & 63) & 1) != 0;

    /// <summary>Whether <see cref="IsOne"/> knows a cluster.</summary>
    public bool Knows(long cluster) =>
        cluster < comparedClusters && (cluster / perBlock is var index)
        && (index >= Table.Length || IsReadable(Table[index]));

    private void CompareMissing(ReferenceCounts references, long first, int count)
    {
        for (var cluster = first; cluster < first + count; cluster++)
        {
            if (references.IsEmptyPage(cluster))
            {
                cluster |= ReferenceCounts.PageClusters - 1;
            }
            else if (references.Storable(cluster) != 0)
            {
                LacksBlock = true;
                Judge(cluster, 0, references.Storable(cluster));
            }
        }
    }

    private void CompareBlock(ReferenceCounts references, ReadOnlySpan<byte> block, long first, int count)
    {
        for (var i = 0; i < count;)
        {
            var stop = (int)Math.Min(count, ((first + i) | (ReferenceCounts.PageClusters - 1)) + 1 - first);
            if (!references.IsEmptyPage(first + i) || !IsZero(block, i, stop))
            {
                for (; i < stop; i++)
                {
                    Judge(first + i, RefcountEntries.Get(block, i, order), references.Storable(first + i));
                }
            }

            i = stop;
        }
    }

    private bool IsZero(ReadOnlySpan<byte> block, int from, int to)
    {
        var start = (int)((long)from << order >> 3);
        var end = (int)((((long)to << order) + 7) >> 3);
        return !block[start..end].ContainsAnyExcept((byte)0);
    }

    private void Judge(long cluster, ulong stored, ulong referenced)
    {
        if (stored == 1)
        {
            var page = ones[cluster >> OnesBits] ??= new ulong[(1 << OnesBits) / 64];
            page[(cluster & ((1 << OnesBits) - 1)) >> 6] |= 1UL << (int)(cluster & 63);
        }

        if ((stored | referenced) != 0)
        {
            HighestCluster = cluster;
        }

        if (stored < referenced)
        {
            Errors++;
            HasUncounted |= stored == 0;
        }
        else if (stored > referenced)
        {
            Leaks++;
        }
    }
}
