namespace Registry.Engine.Qcow2.Writing;

/// <summary>What of an image's shape is to change, as in <c>qemu-img amend -o</c>; null leaves it.</summary>
public sealed record QcowAmendment
{
    /// <summary>2 (compat 0.10) or 3 (compat 1.1).</summary>
    public int? Version { get; init; }

    /// <summary>Whether writers may postpone refcount updates. Version 3 only.</summary>
    public bool? LazyRefcounts { get; init; }

    /// <summary>Width of a refcount in bits: 1, 2, 4, … 64. Version 3 only, but for 16.</summary>
    public int? RefcountBits { get; init; }

    /// <summary>Whether the external data file is a raw disk by itself. Can only be taken back.</summary>
    public bool? IsDataFileRaw { get; init; }
}
