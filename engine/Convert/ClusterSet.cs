using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Which clusters of a disk are allocated, and how many come before each. One bit a cluster, only where any
/// is.</summary>
/// <remarks>Filled first, then asked: <see cref="Seal"/> stands between.</remarks>
public sealed class ClusterSet
{
    private const int PageBits = 15;
    private const int PageClusters = 1 << PageBits;
    private const int PageWords = PageClusters / 64;

    private readonly ulong[]?[] pages;
    private readonly long[] before;
    private bool isSealed;

    /// <summary>An empty set.</summary>
    /// <param name="clusters">Clusters of the disk, 0 or more.</param>
    public ClusterSet(long clusters)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(clusters);
        Clusters = clusters;
        pages = new ulong[]?[checked((int)((clusters + PageClusters - 1) >> PageBits))];
        before = new long[pages.Length + 1];
    }

    /// <summary>Clusters of the disk.</summary>
    public long Clusters { get; }

    /// <summary>Clusters in the set; known once sealed.</summary>
    public long Count => before[^1];

    /// <summary>The clusters that hold an image's stored content.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="clusterSize">Bytes of the new clusters, a power of two.</param>
    /// <param name="clusters">Clusters of the new disk; at least what the image needs.</param>
    /// <param name="cancellationToken">Cancels the mapping.</param>
    public static async ValueTask<ClusterSet> FromMapAsync(
        DiskImage image, int clusterSize, long clusters, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        var set = new ClusterSet(clusters);
        await foreach (var extent in image.MapAsync(0, image.VirtualSize, cancellationToken).ConfigureAwait(false))
        {
            if (extent.IsStored)
            {
                set.AddRange(extent.Start / clusterSize, ((extent.End - 1) / clusterSize) + 1);
            }
        }

        set.Seal();
        return set;
    }

    /// <summary>Adds clusters <paramref name="first"/> to before <paramref name="end"/>.</summary>
    public void AddRange(long first, long end)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(end, Clusters);
        if (isSealed)
        {
            throw new InvalidOperationException("The set is sealed.");
        }

        while (first < end)
        {
            var page = pages[first >> PageBits] ??= new ulong[PageWords];
            var bit = (int)(first & 63);
            var count = (int)Math.Min(64 - bit, end - first);
            var mask = count == 64 ? ulong.MaxValue : ((1UL << count) - 1) << bit;
            page[(int)(first & (PageClusters - 1)) >> 6] |= mask;
            first += count;
        }
    }

    /// <summary>Ends the filling and counts.</summary>
    public void Seal()
    {
        isSealed = true;
        for (var i = 0; i < pages.Length; i++)
        {
            long count = 0;
            foreach (var word in pages[i] ?? [])
            {
                count += BitOperations.PopCount(word);
            }

            before[i + 1] = before[i] + count;
        }
    }

    /// <summary>Whether a cluster is in the set.</summary>
    public bool Contains(long cluster) =>
        pages[cluster >> PageBits] is { } page
        && (page[(int)(cluster & (PageClusters - 1)) >> 6] >> (int)(cluster & 63) & 1) != 0;

    /// <summary>How many clusters of the set come before this one.</summary>
    /// <param name="cluster">0 to <see cref="Clusters"/>.</param>
    public long Rank(long cluster)
    {
        var index = (int)(cluster >> PageBits);
        if (index == pages.Length || pages[index] is not { } page)
        {
            return before[index];
        }

        var within = (int)(cluster & (PageClusters - 1));
        var rank = before[index];
        for (var i = 0; i < within >> 6; i++)
        {
            rank += BitOperations.PopCount(page[i]);
        }

        return rank + BitOperations.PopCount(page[within >> 6] & ((1UL << (within & 63)) - 1));
    }

    /// <summary>The cluster that <paramref name="rank"/> others of the set come before.</summary>
    /// <param name="rank">0 to <see cref="Count"/> exclusive.</param>
    public long Select(long rank)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, Count);
        var index = Array.BinarySearch(before, rank);
        index = index < 0 ? ~index - 1 : index;
        while (before[index + 1] <= rank)
        {
            index++; // empty pages share their number with the page after them
        }

        var page = pages[index]!;
        var left = (int)(rank - before[index]);
        var word = 0;
        for (var count = BitOperations.PopCount(page[0]); left >= count; count = BitOperations.PopCount(page[word]))
        {
            left -= count;
            word++;
        }

        var bits = page[word];
        for (; left > 0; left--)
        {
            bits &= bits - 1;
        }

        return ((long)index << PageBits) + (word * 64) + BitOperations.TrailingZeroCount(bits);
    }

    /// <summary>The next cluster of the set from <paramref name="cluster"/> on; <see cref="Clusters"/> when there is
    /// none.</summary>
    public long Next(long cluster)
    {
        while (cluster < Clusters)
        {
            if (pages[cluster >> PageBits] is not { } page)
            {
                cluster = ((cluster >> PageBits) + 1) << PageBits;
                continue;
            }

            var word = page[(int)(cluster & (PageClusters - 1)) >> 6] >> (int)(cluster & 63);
            if (word != 0)
            {
                return cluster + BitOperations.TrailingZeroCount(word);
            }

            cluster = ((cluster >> 6) + 1) << 6;
        }

        return Clusters;
    }

    /// <summary>The first cluster not in the set from <paramref name="cluster"/> on; at most
    /// <paramref name="end"/>.</summary>
    public long RunEnd(long cluster, long end)
    {
        while (cluster < end && pages[cluster >> PageBits] is { } page)
        {
            var word = ~page[(int)(cluster & (PageClusters - 1)) >> 6] >> (int)(cluster & 63);
            if (word != 0)
            {
                return Math.Min(end, cluster + BitOperations.TrailingZeroCount(word));
            }

            cluster = ((cluster >> 6) + 1) << 6;
        }

        return Math.Min(cluster, end);
    }
}
