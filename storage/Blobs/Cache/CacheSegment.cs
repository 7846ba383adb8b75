namespace Registry.Storage.Blobs.Cache;

/// <summary>What the cache has of 64 MiB of a blob: a sparse file, and which blocks of it are known.</summary>
/// <remarks>Guarded by the cache's lock. A block that is known and has no data is all zeroes, a hole in the file.
/// </remarks>
internal sealed class CacheSegment
{
    /// <summary>Blocks of a segment.</summary>
    public const int Blocks = BlobIndex.BlocksPerPage;

    /// <summary>Bytes of a segment.</summary>
    public const long SpanBytes = BlobIndex.PageSpanBytes;

    private const int WordBits = 64;

    private readonly ulong[] _known = new ulong[Blocks / WordBits];
    private readonly ulong[] _data = new ulong[Blocks / WordBits];
    private readonly List<CacheFill> _fills = [];

    /// <summary>Makes a segment of which nothing is known.</summary>
    public CacheSegment(CacheName name, string path, CachedBlob blob)
    {
        (Name, Path, Blob) = (name, path, blob);
        Node = new LinkedListNode<CacheSegment>(this);
    }

    /// <summary>What it is of.</summary>
    public CacheName Name { get; }

    /// <summary>Its file.</summary>
    public string Path { get; }

    /// <summary>The blob it is part of.</summary>
    public CachedBlob Blob { get; }

    /// <summary>Its place among those used last.</summary>
    public LinkedListNode<CacheSegment> Node { get; }

    /// <summary>Blocks that take room on the disk, or are about to.</summary>
    public int DataBlocks { get; set; }

    /// <summary>Whether the cache has given it up: nothing is remembered of it any more.</summary>
    public bool IsGone { get; set; }

    /// <summary>When its file was last told that it is used.</summary>
    public DateTimeOffset NotedAt { get; set; }

    /// <summary>Whether there is no reason to remember it.</summary>
    public bool IsEmpty => _fills.Count == 0 && DataBlocks == 0 && !_known.AsSpan().ContainsAnyExcept(0UL);

    /// <summary>Cuts a stretch into what is known, what somebody is at, and the rest.</summary>
    /// <param name="from">First block.</param>
    /// <param name="until">First block after it.</param>
    /// <param name="mayFill">Whether the caller is to fetch the rest for everybody; else for himself.</param>
    public List<CacheStep> Cut(int from, int until, bool mayFill)
    {
        var steps = new List<CacheStep>(1);
        while (from < until)
        {
            var (kind, fill) = Look(from);
            var end = from + 1;
            while (end < until && Look(end) == (kind, fill))
            {
                end++;
            }

            if (kind == CacheStepKind.Missing && mayFill)
            {
                fill = new CacheFill(from, end);
                _fills.Add(fill);
            }

            steps.Add(new CacheStep(
                kind == CacheStepKind.Missing && !mayFill ? CacheStepKind.Bypassed : kind, from, end, fill));
            from = end;
        }

        return steps;
    }

    /// <summary>Remembers what a reader has written, or that he has not.</summary>
    public void End(CacheFill fill, bool isKept)
    {
        _fills.Remove(fill);
        if (!isKept)
        {
            return;
        }

        Mark(_known, fill.From, fill.Until);
        foreach (var (from, until) in fill.Data)
        {
            Mark(_data, from, until);
        }
    }

    /// <summary>Takes a stretch of the file that has data for blocks, unverified, as at the start of a process.</summary>
    public void Find(int from, int until)
    {
        for (var block = from; block < until; block++)
        {
            DataBlocks += Has(_known, block) ? 0 : 1;
            Mark(_known, block, block + 1);
            Mark(_data, block, block + 1);
        }
    }

    /// <summary>Forgets blocks.</summary>
    /// <returns>How many of them had data.</returns>
    public int Forget(int from, int until)
    {
        var count = 0;
        for (var block = from; block < until; block++)
        {
            count += Has(_data, block) ? 1 : 0;
            _known[block / WordBits] &= ~(1UL << (block % WordBits));
            _data[block / WordBits] &= ~(1UL << (block % WordBits));
        }

        DataBlocks -= count;
        return count;
    }

    private (CacheStepKind Kind, CacheFill? Fill) Look(int block)
    {
        if (Has(_known, block))
        {
            return (CacheStepKind.Kept, null);
        }

        foreach (var fill in _fills)
        {
            if (block >= fill.From && block < fill.Until)
            {
                return (CacheStepKind.Awaited, fill);
            }
        }

        return (CacheStepKind.Missing, null);
    }

    private static bool Has(ulong[] bits, int block) => (bits[block / WordBits] & (1UL << (block % WordBits))) != 0;

    private static void Mark(ulong[] bits, int from, int until)
    {
        for (var block = from; block < until; block++)
        {
            bits[block / WordBits] |= 1UL << (block % WordBits);
        }
    }
}
