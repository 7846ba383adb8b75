using System.Text;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Convert;

/// <summary>How large a file a conversion needs.</summary>
/// <param name="Required">Bytes for what the disk holds now.</param>
/// <param name="FullyAllocated">Bytes when every cluster is written.</param>
/// <param name="Bitmaps">Bytes more for the source's bitmaps; null where the target or the source can have
/// none.</param>
public readonly record struct DiskMeasurement(long Required, long FullyAllocated, long? Bitmaps);

/// <summary>What a new image shall be, as far as its size depends on it.</summary>
/// <param name="Shape">Version, clusters, counts.</param>
public sealed record MeasureOptions(QcowShape Shape)
{
    /// <summary>Whether clusters exist before they are written.</summary>
    public Preallocation Preallocation { get; init; }

    /// <summary>Whether there will be a backing file: then anything may have to be written.</summary>
    public bool HasBacking { get; init; }

    /// <summary>Bytes of the encryption header, 0 or more.</summary>
    public long LuksHeaderBytes { get; init; }
}

/// <summary>Tells a file's size before it is made, by the rules of qemu-img measure: never too small, and larger than
/// needed only where tables of empty parts are counted.</summary>
public static class DiskMeasure
{
    private const int BitmapEntryBytes = 24;

    /// <summary>A raw file: its disk.</summary>
    /// <param name="size">Bytes of the disk, 0 or more.</param>
    public static DiskMeasurement Raw(long size)
    {
        var file = RoundUp(size, 512);
        return new DiskMeasurement(file, file, null);
    }

    /// <summary>A qcow2 file of an empty disk.</summary>
    /// <param name="size">Bytes of the disk, 0 or more.</param>
    /// <param name="options">What it shall be.</param>
    /// <exception cref="DiskOperationException">The options contradict each other, or the disk does not
    /// fit.</exception>
    public static DiskMeasurement Qcow(long size, MeasureOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return Measure(size, 0, options, null);
    }

    /// <summary>A qcow2 file of a disk.</summary>
    /// <param name="image">The disk.</param>
    /// <param name="options">What the file shall be.</param>
    /// <param name="cancellationToken">Cancels the mapping.</param>
    /// <exception cref="DiskOperationException">The options contradict each other, or the disk does not
    /// fit.</exception>
    public static async ValueTask<DiskMeasurement> QcowAsync(
        DiskImage image, MeasureOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(options);
        var size = image.VirtualSize;
        var content = options.HasBacking
            ? RoundUp(size, options.Shape.ClusterSize)
            : await ContentAsync(image, options.Shape.ClusterSize, cancellationToken).ConfigureAwait(false);
        long? bitmaps = image is QcowImage { Header.Version: >= 3 } qcow && options.Shape.Version >= 3
            ? await BitmapsAsync(qcow, options.Shape.ClusterSize, cancellationToken).ConfigureAwait(false)
            : null;
        return Measure(size, content, options, bitmaps);
    }

    private static DiskMeasurement Measure(long size, long content, MeasureOptions options, long? bitmaps)
    {
        var shape = options.Shape;
        _ = shape.CheckedTableCount(RoundUp(size, 512));
        var disk = RoundUp(size, shape.ClusterSize);
        var full = checked(disk + Metadata(disk, shape) + RoundUp(options.LuksHeaderBytes, shape.ClusterSize));
        var needed = options.Preallocation is Preallocation.FAlloc or Preallocation.Full ? disk : content;
        return new DiskMeasurement(full - disk + needed, full, bitmaps);
    }

    /// <summary>Header, tables and counts of a file in which every cluster is allocated.</summary>
    private static long Metadata(long disk, QcowShape shape)
    {
        var cluster = shape.ClusterSize;
        var l2 = RoundUp(RoundUp(disk / cluster, cluster / shape.EntrySize) * shape.EntrySize, cluster);
        var l1 = RoundUp(l2 / cluster * 8, cluster);
        var others = cluster + l2 + l1;
        return others + (CountClusters((others + disk) / cluster, shape) * cluster);
    }

    private static long CountClusters(long clusters, QcowShape shape)
    {
        var perBlock = shape.ClusterSize * 8L / shape.RefcountBits;
        var (blocks, tables) = (0L, 0L);
        while (true)
        {
            var neededBlocks = DivideUp(clusters + tables + blocks, perBlock);
            var neededTables = DivideUp(neededBlocks, shape.ClusterSize / 8);
            if (neededBlocks == blocks && neededTables == tables)
            {
                return blocks + tables;
            }

            (blocks, tables) = (neededBlocks, neededTables);
        }
    }

    /// <summary>Bytes of the clusters that hold anything.</summary>
    private static async ValueTask<long> ContentAsync(
        DiskImage image, int clusterSize, CancellationToken cancellationToken)
    {
        var (bytes, counted) = (0L, 0L);
        await foreach (var run in image.StatusAsync(0, image.VirtualSize, cancellationToken).ConfigureAwait(false))
        {
            var start = Math.Max(counted, run.Start / clusterSize * clusterSize);
            var end = RoundUp(run.Start + run.Length, clusterSize);
            if (run.IsData && !run.IsZero && end > start)
            {
                (bytes, counted) = (bytes + end - start, end);
            }
        }

        return bytes;
    }

    /// <summary>Bytes of all bitmaps with all their clusters allocated, their tables and their directory.</summary>
    private static async ValueTask<long> BitmapsAsync(
        QcowImage image, int clusterSize, CancellationToken cancellationToken)
    {
        var (bytes, directory) = (0L, 0L);
        foreach (var bitmap in await image.ReadBitmapsAsync(cancellationToken).ConfigureAwait(false))
        {
            if (bitmap.IsInconsistent)
            {
                continue;
            }

            var bits = DivideUp(image.Header.VirtualSize, bitmap.Granularity);
            var clusters = DivideUp(DivideUp(bits, 8), clusterSize);
            bytes += (clusters * clusterSize) + RoundUp(clusters * 8, clusterSize);
            directory += RoundUp(BitmapEntryBytes + Encoding.UTF8.GetByteCount(bitmap.Name), 8);
        }

        return bytes + RoundUp(directory, clusterSize);
    }

    private static long DivideUp(long number, long unit) => (checked(number + unit) - 1) / unit;

    private static long RoundUp(long number, long unit) => DivideUp(number, unit) * unit;
}
