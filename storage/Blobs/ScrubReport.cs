namespace Registry.Storage.Blobs;

/// <summary>What is wrong with a blob.</summary>
public enum ScrubProblem
{
    /// <summary>It is in the store and nothing refers to it.</summary>
    Orphan,

    /// <summary>An image refers to it and it is not in the store, or not whole.</summary>
    Missing,

    /// <summary>Its bytes are not what was uploaded.</summary>
    Damaged,

    /// <summary>The store failed while it was read: nothing is known.</summary>
    Unreadable,
}

/// <summary>Something that a scrub found.</summary>
/// <param name="Problem">What is wrong.</param>
/// <param name="StoreId">The store.</param>
/// <param name="ImageId">The image that the blob is named for.</param>
/// <param name="Generation">The attempt that wrote it; 0 for what belongs to no attempt.</param>
/// <param name="IsRemoved">Whether the scrub removed it: orphans only, when told to.</param>
/// <param name="Detail">A sentence for the operator.</param>
public sealed record ScrubFinding(
    ScrubProblem Problem, string StoreId, string ImageId, long Generation, bool IsRemoved, string Detail);

/// <summary>What a scrub of one store came to.</summary>
public sealed class ScrubReport
{
    /// <summary>Most findings that are kept one by one; the rest is counted.</summary>
    public const int FindingsMax = 1000;

    private readonly List<ScrubFinding> _findings = [];
    private readonly Dictionary<ScrubProblem, long> _counts = [];

    /// <summary>Blobs that images refer to and that were looked at.</summary>
    public long Blobs { get; private set; }

    /// <summary>Bytes of data that were read and compared with their digests.</summary>
    public long Bytes { get; private set; }

    /// <summary>What was found, at most <see cref="FindingsMax"/>.</summary>
    public IReadOnlyList<ScrubFinding> Findings => _findings;

    /// <summary>How often each problem was found, those left out of <see cref="Findings"/> too.</summary>
    public IReadOnlyDictionary<ScrubProblem, long> Counts => _counts;

    internal void Add(ScrubFinding finding)
    {
        _counts[finding.Problem] = _counts.GetValueOrDefault(finding.Problem) + 1;
        if (_findings.Count < FindingsMax)
        {
            _findings.Add(finding);
        }
    }

    internal void Looked(long bytes)
    {
        Blobs++;
        Bytes += bytes;
    }
}
