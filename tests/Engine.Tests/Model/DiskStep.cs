using FsCheck;
using FsCheck.Fluent;

namespace Registry.Engine.Tests.Model;

/// <summary>One thing done to a disk. Places and sizes are fractions of 2^16, so that they fit any disk.</summary>
/// <param name="Kind">What is done.</param>
/// <param name="At">Where, as a fraction of the disk.</param>
/// <param name="Size">How much, as a fraction of a quarter of the disk.</param>
/// <param name="Seed">Content, and choices among snapshots.</param>
public readonly record struct DiskStep(DiskStepKind Kind, int At, int Size, int Seed)
{
    /// <summary>A list of steps of every kind.</summary>
    public static Gen<List<DiskStep>> Many { get; } =
        from count in Gen.Choose(1, 24)
        from steps in Gen.ListOf(One(), count)
        select steps.ToList();

    private static Gen<DiskStep> One() =>
        from kind in Gen.Frequency(
            (10, Gen.Constant(DiskStepKind.Write)),
            (4, Gen.Constant(DiskStepKind.WriteSectors)),
            (4, Gen.Constant(DiskStepKind.WriteCompressed)),
            (3, Gen.Constant(DiskStepKind.Zero)),
            (2, Gen.Constant(DiskStepKind.ZeroKeeping)),
            (3, Gen.Constant(DiskStepKind.Discard)),
            (3, Gen.Constant(DiskStepKind.Snapshot)),
            (2, Gen.Constant(DiskStepKind.Apply)),
            (2, Gen.Constant(DiskStepKind.DeleteSnapshot)),
            (2, Gen.Constant(DiskStepKind.Resize)),
            (1, Gen.Constant(DiskStepKind.Preallocate)),
            (2, Gen.Constant(DiskStepKind.Flush)),
            (2, Gen.Constant(DiskStepKind.Reopen)),
            (2, Gen.Constant(DiskStepKind.Bitmap)),
            (1, Gen.Constant(DiskStepKind.Amend)),
            (1, Gen.Constant(DiskStepKind.Commit)),
            (1, Gen.Constant(DiskStepKind.Rebase)))
        from at in Gen.Choose(0, 65535)
        from size in Gen.OneOf(Gen.Choose(0, 65535), Gen.Choose(0, 2000))
        from seed in Gen.Choose(0, 1 << 20)
        select new DiskStep(kind, at, size, seed);
}

/// <summary>What can be done to a disk.</summary>
public enum DiskStepKind
{
    /// <summary>Write at any byte.</summary>
    Write,

    /// <summary>Write whole sectors.</summary>
    WriteSectors,

    /// <summary>Write one cluster compressed.</summary>
    WriteCompressed,

    /// <summary>Make zero and give back.</summary>
    Zero,

    /// <summary>Make zero and keep the space.</summary>
    ZeroKeeping,

    /// <summary>Discard.</summary>
    Discard,

    /// <summary>Take a snapshot.</summary>
    Snapshot,

    /// <summary>Apply a snapshot.</summary>
    Apply,

    /// <summary>Delete a snapshot.</summary>
    DeleteSnapshot,

    /// <summary>Change the size.</summary>
    Resize,

    /// <summary>Reserve space.</summary>
    Preallocate,

    /// <summary>Flush.</summary>
    Flush,

    /// <summary>Close and open again.</summary>
    Reopen,

    /// <summary>Add, remove, clear, enable, disable or merge bitmaps.</summary>
    Bitmap,

    /// <summary>Change version or refcount width.</summary>
    Amend,

    /// <summary>Commit into the backing file.</summary>
    Commit,

    /// <summary>Move to another backing file.</summary>
    Rebase,
}
