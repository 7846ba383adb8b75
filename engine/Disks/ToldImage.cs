using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>A disk that is recognised, whose header tells its size, and that is not read: QED, ploop, LUKS.</summary>
/// <remarks>Only for who asks for metadata alone (<see cref="DiskOpenOptions.MetadataOnly"/>).</remarks>
public sealed class ToldImage : DiskImage
{
    private const int SectorBytes = 512;

    internal ToldImage(DiskFormat format, long virtualSize) => (Format, VirtualSize) = (format, virtualSize);

    /// <inheritdoc/>
    public override DiskFormat Format { get; }

    /// <inheritdoc/>
    public override long VirtualSize { get; }

    /// <inheritdoc/>
    public override int ClusterSize => SectorBytes;

    /// <inheritdoc/>
    /// <exception cref="ImageFormatException">Always.</exception>
    public override IByteSource Layer(int depth) => throw DiskImages.NotReadable(Format);

    /// <inheritdoc/>
    /// <exception cref="ImageFormatException">Always.</exception>
    public override IAsyncEnumerable<Extent> MapAsync(long start, long length, CancellationToken cancellationToken) =>
        throw DiskImages.NotReadable(Format);
}
