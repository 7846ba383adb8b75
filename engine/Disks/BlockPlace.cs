namespace Registry.Engine.Disks;

/// <summary>What a table says of one block.</summary>
/// <param name="Kind">What the block is.</param>
/// <param name="Offset">First stored byte of its content; -1 where nothing is stored.</param>
/// <param name="StoredLength">Bound of a compressed block's stored bytes; 0 for all others.</param>
internal readonly record struct BlockPlace(ExtentKind Kind, long Offset = -1, long StoredLength = 0)
{
    /// <summary>A block that is not stored.</summary>
    public static BlockPlace Hole { get; } = new(ExtentKind.Hole);

    /// <summary>A block that reads as zeroes: recorded so, or not stored in a format that knows no images
    /// below.</summary>
    public static BlockPlace Zero { get; } = new(ExtentKind.Zero);

    /// <summary>A block that is stored plainly.</summary>
    /// <param name="offset">First stored byte.</param>
    public static BlockPlace Data(long offset) => new(ExtentKind.Data, offset);
}
