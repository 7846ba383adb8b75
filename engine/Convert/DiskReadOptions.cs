namespace Registry.Engine.Convert;

/// <summary>The order in which pieces of a disk are handed out.</summary>
public enum PieceOrder
{
    /// <summary>As they are stored: the fewest and longest reads. For sinks that write anywhere.</summary>
    Stored,

    /// <summary>Ascending guest offsets, without gap when zeroes are yielded. For bodies that are written front to
    /// back.</summary>
    Guest,
}

/// <summary>How a disk is read.</summary>
public sealed record DiskReadOptions
{
    /// <summary>The whole disk in long reads: for a store, where each read costs a round trip.</summary>
    public static DiskReadOptions Default { get; } = new();

    /// <summary>The whole disk front to back, in pieces that stay in the processor's cache until they are written:
    /// for local files.</summary>
    public static DiskReadOptions Local { get; } = new()
    {
        Order = PieceOrder.Guest,
        MaxRangeBytes = 512 << 10,
        MaxGapBytes = 4 << 10,
        MaxReadsPerRange = 64,
        OnlyDecodesInParallel = true,
    };

    /// <summary>The whole disk in the fewest reads, several on their way at a time: for a source where each read costs
    /// a round trip and the result may be written in any order.</summary>
    public static DiskReadOptions Remote { get; } = new()
    {
        MaxRangeBytes = 8 << 20,
        MaxGapBytes = 256 << 10,
        MaxForeignBytes = 256 << 10,
        Parallelism = 6,
    };

    /// <summary>First guest byte.</summary>
    public long Start { get; init; }

    /// <summary>Guest bytes; null for all to the end of the disk.</summary>
    public long? Length { get; init; }

    /// <summary>Order of the pieces.</summary>
    public PieceOrder Order { get; init; }

    /// <summary>Whether holes and zeroes are handed out too, as pieces without content.</summary>
    public bool YieldZeroes { get; init; }

    /// <summary>Ranges fetched and decoded at the same time, 1 or more. Bounds memory to about this many times twice
    /// <see cref="MaxRangeBytes"/>.</summary>
    public int Parallelism { get; init; } = Math.Clamp(Environment.ProcessorCount, 2, 16);

    /// <summary>Whether a copy of what is not compressed is left to one worker: between local files it is only moving
    /// memory, which more processors hardly make faster, and each costs.</summary>
    public bool OnlyDecodesInParallel { get; init; }

    /// <summary>Bytes of one read at most, and of what it decodes to; 64 KiB to 64 MiB. One compressed cluster may
    /// exceed it.</summary>
    public int MaxRangeBytes { get; init; } = 4 << 20;

    /// <summary>Bytes that nobody asked for, read along rather than issuing another read; 0 or more.</summary>
    public int MaxGapBytes { get; init; } = 64 << 10;

    /// <summary>Most of <see cref="MaxGapBytes"/> where a format keeps content in clusters; 0 or more. What lies between
    /// them is tables or stale, and has to be paid for; between the runs of a raw disk it is zero, and a source that knows
    /// it leaves it out.</summary>
    public int MaxForeignBytes { get; init; } = 32 << 10;

    /// <summary>Reads of scattered places that fill one buffer, 1 or more. Where a read costs little, what is scattered
    /// in the image then leaves in few and long pieces.</summary>
    public int MaxReadsPerRange { get; init; } = 1;

    /// <summary>Extents planned at a time, 1 or more. Stored order is kept within such a window.</summary>
    public int WindowExtents { get; init; } = 16 << 10;

    /// <summary>Receives the counters; null when nobody looks.</summary>
    public DiskReadTotals? Totals { get; init; }
}
