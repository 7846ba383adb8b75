namespace Registry.Engine.Qcow2.Writing;

/// <summary>A refcount block in memory.</summary>
/// <param name="index">Its place in the refcount table.</param>
/// <param name="offset">Its file offset.</param>
/// <param name="bytes">One cluster of counts.</param>
internal sealed class RefcountBlock(int index, long offset, byte[] bytes)
{
    /// <summary>Its place in the refcount table.</summary>
    public int Index { get; } = index;

    /// <summary>Its file offset.</summary>
    public long Offset { get; } = offset;

    /// <summary>One cluster of counts.</summary>
    public byte[] Bytes { get; } = bytes;

    /// <summary>Whether the file does not have these bytes yet.</summary>
    public bool IsDirty { get; set; }

    /// <summary>When it was used last, for the cache.</summary>
    public long LastUse { get; set; }
}
