using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Tests.Oracle;

/// <summary>A disk whose map is what a test says.</summary>
internal sealed class ListedImage(IByteSource source, IReadOnlyList<Extent> extents, int clusterSize = 65536)
    : DiskImage
{
    public override DiskFormat Format => DiskFormat.Qcow2;

    public override long VirtualSize => extents.Count == 0 ? 0 : extents[^1].End;

    public override int ClusterSize => clusterSize;

    public override ClusterCompression Compression => ClusterCompression.Deflate;

    public override IByteSource Layer(int depth) => source;

    public override async IAsyncEnumerable<Extent> MapAsync(
        long start,
        long length,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.CompletedTask;
        foreach (var extent in extents)
        {
            if (extent.End > start && extent.Start < start + length)
            {
                yield return extent;
            }
        }
    }
}
