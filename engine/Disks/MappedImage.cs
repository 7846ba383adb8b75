using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>A disk known by its stored allocation map: none of the image's own tables is read.</summary>
public sealed class MappedImage : DiskImage
{
    private readonly AllocationMapReader map;
    private readonly IByteSource stored;

    private MappedImage(AllocationMapReader map, IByteSource stored)
    {
        this.map = map;
        this.stored = stored;
    }

    /// <inheritdoc/>
    public override DiskFormat Format => map.Header.Format;

    /// <inheritdoc/>
    public override long VirtualSize => map.Header.VirtualSize;

    /// <inheritdoc/>
    public override int ClusterSize => map.Header.ClusterSize;

    /// <inheritdoc/>
    public override ClusterCompression Compression => map.Header.Compression;

    /// <summary>The sums the map's writer made.</summary>
    public AllocationTotals Totals => map.Totals;

    /// <summary>Opens a disk by its map.</summary>
    /// <param name="mapBytes">The map; stays the caller's.</param>
    /// <param name="stored">The stored image; stays the caller's.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The bytes are not a map, or it is the map of another image.</exception>
    public static async ValueTask<MappedImage> OpenAsync(
        IByteSource mapBytes, IByteSource stored, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(stored);
        var map = await AllocationMapReader.OpenAsync(mapBytes, cancellationToken).ConfigureAwait(false);
        if (map.Header.StoredLength != stored.Length)
        {
            throw new ImageFormatException(
                FormatError.FormatMismatch,
                $"The allocation map describes an image of {map.Header.StoredLength} bytes, not of {stored.Length}.");
        }

        return new MappedImage(map, stored);
    }

    /// <inheritdoc/>
    public override IByteSource Layer(int depth)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(depth, 0);
        return stored;
    }

    /// <inheritdoc/>
    public override IAsyncEnumerable<Extent> MapAsync(long start, long length, CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        return map.ReadAsync(start, length, cancellationToken);
    }
}
