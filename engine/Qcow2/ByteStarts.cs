namespace Registry.Engine.Qcow2;

/// <summary>A set of byte offsets in a file that notices repetition. Memory is at most an eighth of the file.</summary>
/// <remarks>The file is cut into regions of 16 MiB. A region keeps its offsets as a list while that is short; a list is
/// checked for repetition at the end. A crowded region keeps a bitmap, which notices at once.</remarks>
internal sealed class ByteStarts
{
    private const int RegionBits = 24;
    private const int RegionBytes = 1 << RegionBits;
    private const int MaxListed = RegionBytes / 8 / sizeof(uint);

    private readonly List<uint>?[] lists;
    private readonly ulong[]?[] bitmaps;

    /// <param name="fileLength">Bytes of the file, at least 1.</param>
    public ByteStarts(long fileLength)
    {
        var regions = (int)(((fileLength - 1) >> RegionBits) + 1);
        lists = new List<uint>?[regions];
        bitmaps = new ulong[]?[regions];
    }

    /// <summary>Adds an offset inside the file; false when it is already known to be there.</summary>
    public bool TryAdd(long offset)
    {
        var region = (int)(offset >> RegionBits);
        var within = (uint)(offset & (RegionBytes - 1));
        if (bitmaps[region] is { } bitmap)
        {
            return TrySet(bitmap, within);
        }

        var list = lists[region] ??= [];
        list.Add(within);
        return list.Count < MaxListed || TryCrowd(region, list);
    }

    /// <summary>Whether an offset was added twice.</summary>
    public bool HasDuplicates()
    {
        foreach (var list in lists)
        {
            if (list is null)
            {
                continue;
            }

            list.Sort();
            for (var i = 1; i < list.Count; i++)
            {
                if (list[i] == list[i - 1])
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static bool TrySet(ulong[] bitmap, uint within)
    {
        var bit = 1UL << (int)(within & 63);
        ref var word = ref bitmap[within >> 6];
        var isNew = (word & bit) == 0;
        word |= bit;
        return isNew;
    }

    private bool TryCrowd(int region, List<uint> list)
    {
        var bitmap = new ulong[RegionBytes / 64];
        bitmaps[region] = bitmap;
        lists[region] = null;
        foreach (var within in list)
        {
            if (!TrySet(bitmap, within))
            {
                return false;
            }
        }

        return true;
    }
}
