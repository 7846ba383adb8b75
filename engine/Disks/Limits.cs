namespace Registry.Engine.Disks;

/// <summary>Every cap on what an image may ask for. Work is bounded too, not only size.</summary>
public sealed record Limits
{
    /// <summary>What the server uses on uploads and stored images.</summary>
    public static Limits Strict { get; } = new();

    /// <summary>For local files that the user named: what qemu-img opens is opened, whatever its bits say.</summary>
    public static Limits Local { get; } = new()
    {
        MaxVirtualSizeBytes = 1L << 61,
        MaxChainImages = 512,
        MaxKeyIterations = 1L << 30,
        RejectSharedClusters = false,
        RejectDirty = false,
        RejectCorrupt = false,
        RejectUnusedDataFile = false,
    };

    /// <summary>Largest virtual size in bytes.</summary>
    public long MaxVirtualSizeBytes { get; init; } = 1L << 50;

    /// <summary>Largest active L1 table in bytes (QEMU's limit).</summary>
    public int MaxL1Bytes { get; init; } = 32 << 20;

    /// <summary>Largest refcount table in bytes (QEMU's limit).</summary>
    public int MaxRefcountTableBytes { get; init; } = 8 << 20;

    /// <summary>Most internal snapshots (QEMU's limit).</summary>
    public int MaxSnapshots { get; init; } = 65536;

    /// <summary>Most images in a backing chain, the first one included.</summary>
    public int MaxChainImages { get; init; } = 16;

    /// <summary>Most hash iterations spent on finding the key of an encrypted image, all key slots together (QEMU
    /// makes headers of some millions).</summary>
    public long MaxKeyIterations { get; init; } = 1L << 25;

    /// <summary>Most bitmaps' directory bytes that are read (QEMU's limit).</summary>
    public int MaxBitmapDirectoryBytes { get; init; } = 1024 * 65535;

    /// <summary>Whether an image is refused that names an external data file which it does not use.</summary>
    public bool RejectUnusedDataFile { get; init; } = true;

    /// <summary>Whether an image is refused in which one stored cluster is referenced more than once by the disk,
    /// or lies on the image's own metadata. Keeps the bytes a disk can produce proportional to the file.</summary>
    public bool RejectSharedClusters { get; init; } = true;

    /// <summary>Whether an image is refused that was not closed properly. Its content is readable, only its reference
    /// counts may lag; a stored image should not need a repair later.</summary>
    public bool RejectDirty { get; init; } = true;

    /// <summary>Whether an image is refused whose own corrupt bit is set.</summary>
    public bool RejectCorrupt { get; init; } = true;

    /// <summary>Refuses disks that are too large.</summary>
    /// <param name="sizeBytes">Virtual size in bytes.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.VirtualSizeTooLarge"/>.</exception>
    internal long RequireVirtualSize(ulong sizeBytes) => sizeBytes <= (ulong)MaxVirtualSizeBytes
        ? (long)sizeBytes
        : throw new ImageFormatException(
            FormatError.VirtualSizeTooLarge,
            $"The virtual size of {sizeBytes} bytes is beyond the limit of {MaxVirtualSizeBytes}.");
}
