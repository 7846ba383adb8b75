namespace Registry.Storage.Blobs.Cache;

/// <summary>What the cache has of one blob. Guarded by the cache's lock.</summary>
internal sealed class CachedBlob(BlobKey key, long number, DateTimeOffset modifiedAt)
{
    /// <summary>The blob.</summary>
    public BlobKey Key => key;

    /// <summary>Tells it from others; never used again while the process runs.</summary>
    public long Number => number;

    /// <summary>Its segments.</summary>
    public HashSet<CacheSegment> Segments { get; } = [];

    /// <summary>Times it was opened while some of its data was here, since the process started.</summary>
    public long Hits { get; set; }

    /// <summary>Blocks of its data that hold a byte that is not zero; null while nobody has asked its index.</summary>
    public long? TotalBlocks { get; set; }

    /// <summary>When it was last read.</summary>
    public DateTimeOffset UsedAt { get; set; } = modifiedAt;

    /// <summary>When something of it was last added.</summary>
    public DateTimeOffset ModifiedAt { get; set; } = modifiedAt;

    /// <summary>Describes it.</summary>
    public CacheEntry Describe()
    {
        var (data, index) = (0L, 0L);
        foreach (var segment in Segments)
        {
            if (segment.Name.Part == BlobPart.Data)
            {
                data += segment.DataBlocks;
            }
            else
            {
                index += segment.DataBlocks;
            }
        }

        return new CacheEntry(
            Key, Number, (data + index) * BlobIndex.BlockBytes, Hits, UsedAt, ModifiedAt,
            TotalBlocks is { } total ? data >= total : null);
    }
}

/// <summary>A blob in the cache.</summary>
/// <param name="Key">The blob.</param>
/// <param name="Number">Tells it from others; never used again while the process runs.</param>
/// <param name="Bytes">Bytes it takes on the disk, in whole blocks of 64 KiB.</param>
/// <param name="Hits">Times it was opened while some of its data was here, since the process started.</param>
/// <param name="UsedAt">When it was last read.</param>
/// <param name="ModifiedAt">When something of it was last added.</param>
/// <param name="IsWhole">Whether all of its data is here; null while nobody has asked its index how much that is.
/// </param>
public sealed record CacheEntry(
    BlobKey Key, long Number, long Bytes, long Hits, DateTimeOffset UsedAt, DateTimeOffset ModifiedAt, bool? IsWhole);

/// <summary>What the cache gave up.</summary>
/// <param name="Blobs">Blobs of which nothing is left.</param>
/// <param name="Files">Files removed.</param>
/// <param name="Bytes">Bytes they took, in whole blocks of 64 KiB.</param>
public readonly record struct CacheDrop(int Blobs, int Files, long Bytes);
