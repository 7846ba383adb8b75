namespace Registry.Engine.Disks;

/// <summary>What a disk holds, summed over its extents.</summary>
/// <param name="AllocatedBytes">Guest bytes whose content is stored.</param>
/// <param name="StoredBytes">Bytes stored for them: plain data, and the bounds of compressed clusters.</param>
/// <param name="Extents">Number of extents, holes and zeroes included.</param>
public readonly record struct AllocationTotals(long AllocatedBytes, long StoredBytes, long Extents)
{
    /// <summary>The totals with one more extent.</summary>
    public AllocationTotals With(in Extent extent) => new(
        extent.IsStored ? AllocatedBytes + extent.Length : AllocatedBytes,
        StoredBytes + extent.StoredLength,
        Extents + 1);
}
