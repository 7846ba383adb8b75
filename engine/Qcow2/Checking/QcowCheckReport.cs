namespace Registry.Engine.Qcow2.Checking;

/// <summary>What a check found, in the words and numbers of qemu-img.</summary>
public sealed record QcowCheckReport
{
    /// <summary>Errors: references without a count, entries that contradict the format, structures outside the
    /// file.</summary>
    public long Corruptions { get; init; }

    /// <summary>Clusters counted more often than they are referenced: wasted space, no harm.</summary>
    public long Leaks { get; init; }

    /// <summary>Clusters whose stored count could not be read.</summary>
    public long CheckErrors { get; init; }

    /// <summary>Errors that a repair removed.</summary>
    public long CorruptionsFixed { get; init; }

    /// <summary>Leaks that a repair removed.</summary>
    public long LeaksFixed { get; init; }

    /// <summary>First byte after the last cluster in use; 0 when it is not known.</summary>
    public long ImageEndOffset { get; init; }

    /// <summary>Clusters of the virtual disk.</summary>
    public long TotalClusters { get; init; }

    /// <summary>Clusters of the active disk that are stored.</summary>
    public long AllocatedClusters { get; init; }

    /// <summary>Stored clusters that do not follow the one before them in the file; compressed ones always
    /// count.</summary>
    public long FragmentedClusters { get; init; }

    /// <summary>Stored clusters that are compressed.</summary>
    public long CompressedClusters { get; init; }

    /// <summary>Whether nothing is wrong and all could be checked.</summary>
    public bool IsClean => Corruptions == 0 && Leaks == 0 && CheckErrors == 0;
}

/// <summary>What a repair may change.</summary>
public enum QcowRepairMode
{
    /// <summary>Only counts that are too high.</summary>
    Leaks,

    /// <summary>Everything that can be repaired without losing content.</summary>
    All,
}
