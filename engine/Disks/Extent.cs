namespace Registry.Engine.Disks;

/// <summary>What a run of guest bytes is.</summary>
public enum ExtentKind
{
    /// <summary>Nothing is allocated: reads as zeroes.</summary>
    Hole,

    /// <summary>Recorded as zeroes (a zero cluster, or a run found to be zero): reads as zeroes, needs no
    /// reading.</summary>
    Zero,

    /// <summary>Stored plainly: guest byte <c>Start + i</c> is stored byte <c>Offset + i</c>.</summary>
    Data,

    /// <summary>One compressed cluster: <c>StoredLength</c> bytes at <c>Offset</c> decode to <c>Length</c> guest
    /// bytes.</summary>
    Compressed,
}

/// <summary>A run of guest bytes and where its content is stored.</summary>
/// <param name="Start">First guest byte.</param>
/// <param name="Length">Length in guest bytes, at least 1.</param>
/// <param name="Kind">What the run is.</param>
/// <param name="Offset">First stored byte in its layer for <see cref="ExtentKind.Data"/> and
/// <see cref="ExtentKind.Compressed"/>; else -1.</param>
/// <param name="StoredLength">Stored bytes: equal to <paramref name="Length"/> for data, the compressed input's bound
/// for a compressed cluster, else 0.</param>
/// <param name="Depth">Which bytes it is stored in (<see cref="DiskImage.Layer"/>): 0 is the image itself, then the
/// images below it in its backing chain; behind the last of them come the same images' decoded contents, by guest
/// offset, for what cannot be decoded one cluster at a time.</param>
public readonly record struct Extent(
    long Start, long Length, ExtentKind Kind, long Offset = -1, long StoredLength = 0, int Depth = 0)
{
    /// <summary>First guest byte after the run.</summary>
    public long End => Start + Length;

    /// <summary>Whether the run has stored bytes that must be read.</summary>
    public bool IsStored => Kind is ExtentKind.Data or ExtentKind.Compressed;
}
