using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Makes the refcount table and its blocks anew, at the end of the file, from the references alone.</summary>
/// <remarks>Nothing that is in use, and nothing of the old structures, is written over. Until the header points to the
/// new ones the file is as it was but for a longer tail.</remarks>
internal sealed class RefcountRebuild
{
    private const int MaxTableBytes = 8 << 20;
    private const int BatchBytes = 1 << 20;

    private readonly CheckedImage image;
    private readonly ReferenceCounts references;
    private readonly int order;
    private readonly int perBlock;
    private readonly long firstCluster;
    private readonly SortedSet<long> blocks = [];
    private long tableClusters;

    private RefcountRebuild(CheckedImage image, ReferenceCounts references)
    {
        this.image = image;
        this.references = references;
        order = (int)image.Header.RefcountOrder;
        perBlock = RefcountEntries.PerBlock(image.ClusterSize, order);
        firstCluster = references.Clusters;
    }

    private long EndCluster => firstCluster + tableClusters + blocks.Count;

    /// <summary>Makes and enters the new structures.</summary>
    /// <exception cref="ImageFormatException">The table would exceed 8 MiB, or another table lies where it would go.
    /// </exception>
    public static async ValueTask RunAsync(IByteFile file, ImageAudit audit, CancellationToken cancellationToken)
    {
        var image = audit.Image;
        var references = await ImageAudit.CountContentAsync(file, cancellationToken).ConfigureAwait(false);
        var rebuild = new RefcountRebuild(image, references);
        rebuild.RequireFreeEnd(audit);
        rebuild.Plan();
        await rebuild.WriteAsync(file, cancellationToken).ConfigureAwait(false);
        await HeaderPatch
            .SetRefcountTableAsync(
                file, rebuild.firstCluster << image.ClusterBits, (uint)rebuild.tableClusters, cancellationToken)
            .ConfigureAwait(false);
    }

    // What an L1 table that starts in the file promises behind its end reads as zeroes; what is put there becomes its
    // entries. One that starts behind the end is judged once the counts are in place.
    private void RequireFreeEnd(ImageAudit audit)
    {
        var end = firstCluster << image.ClusterBits;
        var active = (Offset: (long)image.Header.L1Offset, Entries: image.Header.L1Entries);
        if (audit.Snapshots.Tables.Append(active).Any(t => t.Offset < end && t.Offset + (t.Entries * 8L) > end))
        {
            throw new ImageFormatException(
                FormatError.OverlapsMetadata,
                "An L1 table reaches past the file's end, where the reference counts would be made anew.");
        }
    }

    // Blocks count themselves and the table, so adding some may ask for more; each covers many, so this ends.
    private void Plan()
    {
        for (var cluster = 0L; cluster < firstCluster; cluster++)
        {
            if (references.IsEmptyPage(cluster))
            {
                cluster |= ReferenceCounts.PageClusters - 1;
            }
            else if (references.Storable(cluster) != 0)
            {
                blocks.Add(cluster / perBlock);
                cluster += perBlock - 1 - (cluster % perBlock);
            }
        }

        for (var before = -1L; before != EndCluster;)
        {
            before = EndCluster;
            for (var index = firstCluster / perBlock; index <= (EndCluster - 1) / perBlock; index++)
            {
                blocks.Add(index);
            }

            tableClusters = image.ClustersOf((blocks.Max + 1) * 8);
        }

        if (tableClusters << image.ClusterBits > MaxTableBytes)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, "The image is too long for a refcount table of 8 MiB.");
        }
    }

    private async ValueTask WriteAsync(IByteFile file, CancellationToken cancellationToken)
    {
        var table = new byte[tableClusters << image.ClusterBits];
        var batch = new byte[Math.Max(BatchBytes, image.ClusterSize)];
        var filled = 0;
        var position = (firstCluster + tableClusters) << image.ClusterBits;
        foreach (var index in blocks)
        {
            BinaryPrimitives.WriteInt64BigEndian(table.AsSpan((int)index * 8), position + filled);
            Fill(batch.AsSpan(filled, image.ClusterSize), index * perBlock);
            filled += image.ClusterSize;
            if (filled + image.ClusterSize > batch.Length)
            {
                await file.WriteAsync(position, batch.AsMemory(0, filled), cancellationToken).ConfigureAwait(false);
                position += filled;
                filled = 0;
            }
        }

        await file.WriteAsync(position, batch.AsMemory(0, filled), cancellationToken).ConfigureAwait(false);
        await file.WriteAsync(firstCluster << image.ClusterBits, table, cancellationToken).ConfigureAwait(false);
    }

    private void Fill(Span<byte> block, long first)
    {
        block.Clear();
        for (var i = 0; i < perBlock && first + i < EndCluster; i++)
        {
            var cluster = first + i;
            var count = cluster >= firstCluster ? 1 : references.Storable(cluster);
            if (count != 0)
            {
                RefcountEntries.Set(block, i, order, count);
            }
        }
    }
}
