namespace Registry.Engine.Qcow2.Checking;

/// <summary>How often each cluster of a file is referenced, exactly. Memory follows what is referenced: two bytes a
/// cluster, in pages that exist only where something is; counts beyond that are kept aside.</summary>
/// <param name="clusters">Clusters of the file, the last one perhaps partial.</param>
/// <param name="max">The largest count the image can store.</param>
internal sealed class ReferenceCounts(long clusters, ulong max)
{
    /// <summary>Clusters of one page.</summary>
    public const int PageClusters = 1 << PageBits;

    private const int PageBits = 12;

    private readonly ushort[]?[] pages = new ushort[]?[(clusters >> PageBits) + 2];
    private readonly Dictionary<long, ulong> large = [];

    /// <summary>Clusters counted: those of the file, and one more where a reference runs past its end.</summary>
    public long Clusters { get; private set; } = clusters;

    /// <summary>References beyond what the image can store.</summary>
    public long Overflows { get; private set; }

    /// <summary>Counts references.</summary>
    /// <param name="cluster">Number of the cluster, at most one past the file's last.</param>
    /// <param name="times">How many, 1 or more.</param>
    public void Add(long cluster, ulong times)
    {
        if (cluster >= Clusters)
        {
            Clusters = cluster + 1;
        }

        ref var cell = ref (pages[cluster >> PageBits] ??= new ushort[PageClusters])[cluster & (PageClusters - 1)];
        if (cell + times < ushort.MaxValue && cell + times <= max)
        {
            cell += (ushort)times;
            return;
        }

        var before = cell == ushort.MaxValue ? large[cluster] : cell;
        var after = checked(before + times);
        Overflows += (long)((after > max ? after - max : 0) - (before > max ? before - max : 0));
        cell = (ushort)Math.Min(after, ushort.MaxValue);
        if (after >= ushort.MaxValue)
        {
            large[cluster] = after;
        }
    }

    /// <summary>References to a cluster, however many.</summary>
    public ulong Exact(long cluster)
    {
        var page = pages[cluster >> PageBits];
        var cell = page is null ? (ushort)0 : page[cluster & (PageClusters - 1)];
        return cell == ushort.MaxValue ? large[cluster] : cell;
    }

    /// <summary>References to a cluster, or the largest count the image can store.</summary>
    public ulong Storable(long cluster) => Math.Min(Exact(cluster), max);

    /// <summary>Whether no cluster of a page is referenced.</summary>
    /// <param name="cluster">Any cluster of the page.</param>
    public bool IsEmptyPage(long cluster) => pages[cluster >> PageBits] is null;
}
