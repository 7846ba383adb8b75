using Registry.Engine.Bytes;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Convert;

/// <summary>How a disk is converted to a local file.</summary>
public sealed record ConvertOptions
{
    /// <summary>The source's size, sparse, 64 KiB clusters.</summary>
    public static ConvertOptions Default { get; } = new();

    /// <summary>Virtual size of the new disk in bytes, at least the source's; null for the same.</summary>
    public long? Size { get; init; }

    /// <summary>Shape of a qcow2 target.</summary>
    public QcowShape Qcow { get; init; } = QcowShape.Default;

    /// <summary>How the source is read.</summary>
    public DiskReadOptions Read { get; init; } = DiskReadOptions.Local;

    /// <summary>Whether clusters of a qcow2 target are compressed.</summary>
    public bool Compress { get; init; }

    /// <summary>What of the target exists before its content is written.</summary>
    public Preallocation Preallocation { get; init; }

    /// <summary>Bytes of the runs of zeroes that are not written, a power of two from 512 on; 0 to write
    /// everything.</summary>
    public int SparseBytes { get; init; } = ZeroBlocks.DefaultBytes;

    /// <summary>Whether every run of zeroes is found, by a look at every byte. Otherwise what lies uncompressed in local
    /// files may be copied inside the kernel, and zeroes are left out by whole blocks of 64 KiB and where a block begins
    /// with zeroes.</summary>
    public bool FindsAllZeroes { get; init; }

    /// <summary>Whether a raw target exists and is written in place, and keeps its length; one that is too short is
    /// refused.</summary>
    public bool IntoExisting { get; init; }

    /// <summary>Whether an existing target is known to read as zeroes.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>Whether the target must not exist yet. An existing block device is always written in place.</summary>
    public bool RefuseExisting { get; init; }

    /// <summary>Whether the target is flushed to stable storage before the conversion counts as done (qemu-img does
    /// not).</summary>
    public bool IsDurable { get; init; } = true;

    /// <summary>Bytes written in a second at most; null for as many as can be.</summary>
    public long? BytesPerSecond { get; init; }

    /// <summary>Told the guest bytes handled so far, of all that are stored; null when nobody looks.</summary>
    public IProgress<ConvertProgress>? Progress { get; init; }
}

/// <summary>How far a conversion is.</summary>
/// <param name="BytesDone">Guest bytes handled.</param>
/// <param name="BytesTotal">Guest bytes that are stored and so have to be handled.</param>
public readonly record struct ConvertProgress(long BytesDone, long BytesTotal);
