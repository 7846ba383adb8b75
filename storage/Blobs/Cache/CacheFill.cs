namespace Registry.Storage.Blobs.Cache;

/// <summary>What became of blocks that somebody fetched.</summary>
internal enum FillOutcome
{
    /// <summary>They are in the cache.</summary>
    Kept,

    /// <summary>They were fetched, and the cache could not keep them.</summary>
    NotKept,

    /// <summary>They could not be fetched.</summary>
    Failed,

    /// <summary>Who was at it left.</summary>
    Abandoned,
}

/// <summary>Blocks that one reader fetches for everybody.</summary>
/// <param name="from">First block in the segment.</param>
/// <param name="until">First block after them.</param>
internal sealed class CacheFill(int from, int until)
{
    private readonly TaskCompletionSource<FillOutcome> _done =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>First block in the segment.</summary>
    public int From => from;

    /// <summary>First block after them.</summary>
    public int Until => until;

    /// <summary>Which of them hold a byte that is not zero, as runs of block numbers in the segment; the others are
    /// holes. Known once they are written.</summary>
    public IReadOnlyList<(int From, int Until)> Data { get; set; } = [];

    /// <summary>Ends when they are there, or will not come.</summary>
    public Task<FillOutcome> Done => _done.Task;

    /// <summary>Tells those who wait.</summary>
    public void End(FillOutcome outcome) => _done.TrySetResult(outcome);
}

/// <summary>How a stretch of blocks is come by.</summary>
internal enum CacheStepKind
{
    /// <summary>It is in the cache.</summary>
    Kept,

    /// <summary>The caller fetches it for everybody.</summary>
    Missing,

    /// <summary>Somebody is fetching it.</summary>
    Awaited,

    /// <summary>The caller fetches it for himself.</summary>
    Bypassed,
}

/// <summary>A stretch of blocks and how it is come by.</summary>
/// <param name="Kind">How.</param>
/// <param name="From">First block in the segment.</param>
/// <param name="Until">First block after it.</param>
/// <param name="Fill">Who fetches it, for what is missing or awaited.</param>
internal readonly record struct CacheStep(CacheStepKind Kind, int From, int Until, CacheFill? Fill);
