using System.Buffers.Binary;
using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>One whole pass over an image: every reference counted, compared with the stored counts, and the copied
/// flags held against these.</summary>
/// <remarks>
/// Memory is two bytes for each referenced cluster, and the L1 and refcount tables. Tables that are used often (by
/// many snapshots, or by entries that repeat) are read once and counted with their number of uses, so the work follows
/// the file's size.
/// </remarks>
internal sealed class ImageAudit
{
    private const int ChunkBytes = 64 << 10;

    private readonly CheckBudget budget;
    private readonly PaddedReader reader;
    private readonly L2Uses uses = new();
    private readonly L2Audit l2;
    private bool hasSharedBlock;

    private ImageAudit(CheckedImage image, IByteSource source)
    {
        Image = image;
        budget = new CheckBudget(image.FileLength);
        reader = new PaddedReader(source);
        References = new ReferenceCounts(image.FileClusters, RefcountEntries.Max((int)image.Header.RefcountOrder));
        l2 = new L2Audit(image, References);
    }

    /// <summary>The image.</summary>
    public CheckedImage Image { get; }

    /// <summary>What is referenced, the refcount structures included.</summary>
    public ReferenceCounts References { get; }

    /// <summary>What is stored.</summary>
    public StoredCounts Stored { get; private set; } = null!;

    /// <summary>The snapshot table.</summary>
    public SnapshotTable Snapshots { get; private set; } = null!;

    /// <summary>The active L1 table.</summary>
    public ulong[] L1 { get; private set; } = [];

    /// <summary>The L2 tables in use, in the order of the file.</summary>
    public (long Offset, ulong Active, ulong Inactive)[] L2Tables { get; private set; } = [];

    /// <summary>Copied flags that contradict the stored counts.</summary>
    public long WrongFlags { get; private set; }

    /// <summary>Errors that lie in the refcount table itself.</summary>
    public long BlockErrors { get; private set; }

    /// <summary>Entries that a repair can put right without losing content.</summary>
    public long RepairableEntries => l2.Repairable + RepairableL1;

    /// <summary>Whether an L1 entry holds bits but no offset, so that the header is taken for an L2 table.</summary>
    public bool HasPhantomTable { get; private set; }

    /// <summary>Errors but those of copied flags and of the snapshot table.</summary>
    public long CountingErrors => TableErrors + References.Overflows + BlockErrors + Stored.Errors;

    /// <summary>Those of them that lie in the entries of tables.</summary>
    public long TableErrors => l2.Corruptions + L1Errors;

    /// <summary>Whether the refcount structures must be made anew: their blocks cannot be used as they are.</summary>
    public bool NeedsRebuild =>
        BlockErrors > 0 || hasSharedBlock || Stored.LacksBlock || Stored.Unreadable > 0;

    private long L1Errors { get; set; }

    private long RepairableL1 { get; set; }

    /// <summary>Runs the pass.</summary>
    /// <exception cref="Disks.ImageFormatException">The image cannot be checked.</exception>
    public static async ValueTask<ImageAudit> RunAsync(IByteSource source, CancellationToken cancellationToken)
    {
        var image = await CheckedImage.ReadAsync(source, cancellationToken).ConfigureAwait(false);
        var audit = new ImageAudit(image, source);
        audit.Snapshots = await SnapshotTable.ReadAsync(source, image, cancellationToken).ConfigureAwait(false);
        audit.Stored = await StoredCounts.ReadAsync(image, source, audit.budget, cancellationToken)
            .ConfigureAwait(false);
        await audit.CountAsync(cancellationToken).ConfigureAwait(false);
        audit.CountRefcountStructures();
        await audit.Stored.CompareAsync(audit.References, cancellationToken).ConfigureAwait(false);
        await audit.CheckFlagsAsync(cancellationToken).ConfigureAwait(false);
        return audit;
    }

    /// <summary>Counts what is referenced, but for the refcount structures: what new ones must hold.</summary>
    /// <exception cref="Disks.ImageFormatException">The image cannot be checked.</exception>
    public static async ValueTask<ReferenceCounts> CountContentAsync(
        IByteSource source, CancellationToken cancellationToken)
    {
        var image = await CheckedImage.ReadAsync(source, cancellationToken).ConfigureAwait(false);
        var audit = new ImageAudit(image, source);
        audit.Snapshots = await SnapshotTable.ReadAsync(source, image, cancellationToken).ConfigureAwait(false);
        await audit.CountAsync(cancellationToken).ConfigureAwait(false);
        return audit.References;
    }

    /// <summary>The pass in numbers.</summary>
    public QcowCheckReport Report() => new()
    {
        Corruptions = CountingErrors + WrongFlags + Snapshots.Errors,
        Leaks = Stored.Leaks,
        CheckErrors = Stored.Unreadable,
        ImageEndOffset = (Stored.HighestCluster + 1) << Image.ClusterBits,
        TotalClusters = Image.ClustersOf(Image.Header.VirtualSize),
        AllocatedClusters = l2.Allocated,
        FragmentedClusters = l2.Fragmented,
        CompressedClusters = l2.Compressed,
    };

    private async ValueTask CountAsync(CancellationToken cancellationToken)
    {
        var header = Image.Header;
        l2.Refer(0, Image.ClusterSize, 1);
        l2.Refer((long)header.L1Offset, header.L1Entries * 8L, 1);
        await CountActiveL1Async(cancellationToken).ConfigureAwait(false);
        await CountSnapshotsAsync(cancellationToken).ConfigureAwait(false);
        L2Tables = uses.InOrder();
        foreach (var (offset, active, inactive) in L2Tables)
        {
            budget.Spend(Image.ClusterSize / 8);
            var table = await reader.ReadAsync(offset, Image.ClusterSize, cancellationToken).ConfigureAwait(false);
            l2.Count(table.Span, active, inactive);
        }

        l2.Refer((long)header.SnapshotsOffset, Snapshots.Bytes, 1);
        l2.Refer(Image.EncryptionOffset, Image.EncryptionLength, 1);
        await BitmapAudit.CountAsync(Image, reader, l2, References, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask CountActiveL1Async(CancellationToken cancellationToken)
    {
        // What is promised behind the file's end is zeroes, and costs nothing.
        var (offset, perCluster) = ((long)Image.Header.L1Offset, Image.ClusterSize / 8);
        var clusters = Image.ClustersInside(offset, (Image.Header.L1Entries + perCluster - 1L) / perCluster);
        L1 = new ulong[Math.Min(Image.Header.L1Entries, clusters * perCluster)];
        for (var i = 0; i < L1.Length;)
        {
            var count = Math.Min(ChunkBytes / 8, L1.Length - i);
            var bytes = await reader.ReadAsync((long)Image.Header.L1Offset + (i * 8L), count * 8, cancellationToken)
                .ConfigureAwait(false);
            for (var j = 0; j < count; j++, i++)
            {
                L1[i] = BinaryPrimitives.ReadUInt64BigEndian(bytes.Span[(j * 8)..]);
                CountL1Entry(L1[i], active: 1, inactive: 0);
            }
        }
    }

    private void CountL1Entry(ulong entry, ulong active, ulong inactive)
    {
        if (entry == 0)
        {
            return;
        }

        var times = active + inactive;
        if ((entry & EntryRules.L1Reserved) != 0)
        {
            L1Errors += (long)times;
            RepairableL1 += (long)times;
        }

        var offset = (long)(entry & EntryRules.OffsetMask);
        if (offset == 0)
        {
            RepairableL1 += (entry & EntryRules.L1Reserved) == 0 ? (long)times : 0;
            HasPhantomTable = true;
        }

        l2.Refer(offset, Image.ClusterSize, times);
        if (!Image.IsAligned((ulong)offset))
        {
            L1Errors += (long)times;
        }

        // A table outside the file reads as zeroes: nothing to count.
        if (offset >= Image.FileLength)
        {
            return;
        }

        if (active != 0)
        {
            uses.AddActive(offset);
        }
        else
        {
            uses.AddInactive(offset, inactive);
        }
    }

    private async ValueTask CountSnapshotsAsync(CancellationToken cancellationToken)
    {
        if (Image.HasDataFile && Snapshots.Items.Count > 0)
        {
            L1Errors++;
        }

        var clusters = new RangeSweep();
        var entries = new RangeSweep();
        foreach (var (offset, count) in Snapshots.Tables)
        {
            var end = offset + (count * 8L);
            if (end - Image.FileLength >= Image.ClusterSize)
            {
                l2.Refer(offset, count * 8L, 1);
            }
            else
            {
                clusters.Add(offset >> Image.ClusterBits, Image.ClustersOf(end));
            }

            entries.Add(offset, Math.Min(end, (Image.FileLength + 7) & ~7));
        }

        foreach (var (first, end, times) in clusters.Pieces())
        {
            for (var cluster = first; cluster < end; cluster++)
            {
                References.Add(cluster, times);
            }
        }

        foreach (var (start, end, times) in entries.Pieces())
        {
            for (var position = start; position < end; position += ChunkBytes)
            {
                var bytes = await reader
                    .ReadAsync(position, (int)Math.Min(ChunkBytes, end - position), cancellationToken)
                    .ConfigureAwait(false);
                for (var i = 0; i < bytes.Length; i += 8)
                {
                    CountL1Entry(BinaryPrimitives.ReadUInt64BigEndian(bytes.Span[i..]), active: 0, inactive: times);
                }
            }
        }
    }

    private void CountRefcountStructures()
    {
        l2.Refer(
            (long)Image.Header.RefcountTableOffset, (long)Image.Header.RefcountTableClusters << Image.ClusterBits, 1);
        foreach (var entry in Stored.Table)
        {
            var offset = StoredCounts.Offset(entry);
            if ((entry & EntryRules.RefcountTableReserved) != 0
                || !Image.IsAligned(offset)
                || offset >> Image.ClusterBits >= (ulong)References.Clusters)
            {
                BlockErrors++;
            }
            else if (offset != 0)
            {
                var cluster = (long)(offset >> Image.ClusterBits);
                References.Add(cluster, 1);

                // With counts of one bit qemu-img does not see that a block is shared.
                BlockErrors += References.Storable(cluster) == 1 ? 0 : 1;
                hasSharedBlock |= References.Exact(cluster) != 1;
            }
        }
    }

    private async ValueTask CheckFlagsAsync(CancellationToken cancellationToken)
    {
        foreach (var entry in L1)
        {
            var offset = (long)(entry & EntryRules.OffsetMask);
            if (offset != 0
                && await Stored.IsOneAsync(offset >> Image.ClusterBits, cancellationToken).ConfigureAwait(false)
                    is { } isOne
                && isOne != ((entry & EntryRules.Copied) != 0))
            {
                WrongFlags++;
            }
        }

        foreach (var (offset, active, _) in L2Tables)
        {
            // Where the table's own count cannot be read, qemu-img does not look into the table.
            if (active == 0 || offset == 0
                || await Stored.IsOneAsync(offset >> Image.ClusterBits, cancellationToken).ConfigureAwait(false) is null)
            {
                continue;
            }

            budget.Spend(Image.ClusterSize / 8);
            var table = await reader.ReadAsync(offset, Image.ClusterSize, cancellationToken).ConfigureAwait(false);
            WrongFlags += (long)active * await WrongFlagsAsync(table, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask<long> WrongFlagsAsync(ReadOnlyMemory<byte> table, CancellationToken cancellationToken)
    {
        var wrong = 0L;
        for (var i = 0; i < table.Length; i += Image.Header.L2EntrySize)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(table.Span[i..]);
            if ((entry & EntryRules.Compressed) != 0 || !EntryRules.HasCluster(entry, Image))
            {
                continue;
            }

            var cluster = (long)(entry & EntryRules.OffsetMask) >> Image.ClusterBits;
            var isOne = Image.HasDataFile ? true
                : Stored.Knows(cluster) ? Stored.IsOne(cluster)
                : await Stored.IsOneAsync(cluster, cancellationToken).ConfigureAwait(false);
            if (isOne is { } one && one != ((entry & EntryRules.Copied) != 0))
            {
                wrong++;
            }
        }

        return wrong;
    }
}
