using System.Buffers.Binary;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Judges the entries of one L2 table after the other and counts what they refer to.</summary>
internal sealed class L2Audit(CheckedImage image, ReferenceCounts references)
{
    private readonly int entrySize = image.Header.L2EntrySize;
    private long expected;

    /// <summary>Entries that contradict the format or lead outside the file, each as often as it is used.</summary>
    public long Corruptions { get; private set; }

    /// <summary>Those of them that a repair can put right without losing content.</summary>
    public long Repairable { get; private set; }

    /// <summary>Stored clusters of the active disk.</summary>
    public long Allocated { get; private set; }

    /// <summary>Those that do not follow the one before.</summary>
    public long Fragmented { get; private set; }

    /// <summary>Those that are compressed.</summary>
    public long Compressed { get; private set; }

    /// <summary>Counts the references of one range, or finds it outside the file.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="times">How often it is referenced.</param>
    public void Refer(long offset, long length, ulong times)
    {
        if (length <= 0)
        {
            return;
        }

        // The last cluster of a file may be cut short, so a range may end past the file, by less than a cluster.
        if (offset > image.FileLength - length && offset - image.FileLength + length >= image.ClusterSize)
        {
            Corruptions += (long)times;
            return;
        }

        var last = (offset + length - 1) >> image.ClusterBits;
        for (var cluster = offset >> image.ClusterBits; cluster <= last; cluster++)
        {
            references.Add(cluster, times);
        }
    }

    /// <summary>Counts a whole table.</summary>
    /// <param name="table">Its bytes: one cluster.</param>
    /// <param name="active">How often the active disk uses it.</param>
    /// <param name="inactive">How often snapshots do.</param>
    public void Count(ReadOnlySpan<byte> table, ulong active, ulong inactive)
    {
        expected = 0;
        var before = (Allocated, Fragmented, Compressed);
        var times = active + inactive;
        for (var i = 0; i < table.Length; i += entrySize)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(table[i..]);
            var bitmap = entrySize == 16 ? BinaryPrimitives.ReadUInt64BigEndian(table[(i + 8)..]) : 0;
            if ((entry | bitmap) == 0)
            {
                continue;
            }

            if ((entry & EntryRules.Compressed) != 0)
            {
                CountCompressed(entry, bitmap, times);
            }
            else
            {
                CountStandard(entry, bitmap, times);
            }
        }

        Allocated = before.Allocated + ((Allocated - before.Allocated) * (long)active);
        Fragmented = before.Fragmented + ((Fragmented - before.Fragmented) * (long)active);
        Compressed = before.Compressed + ((Compressed - before.Compressed) * (long)active);
    }

    private void CountCompressed(ulong entry, ulong bitmap, ulong times)
    {
        if ((entry & EntryRules.Copied) != 0)
        {
            Corrupt(times, isRepairable: true);
        }

        if (image.HasDataFile || bitmap != 0)
        {
            Corrupt(times, isRepairable: !image.HasDataFile);
            return;
        }

        var word = new L2Entry(entry);
        Refer(word.CompressedOffset(image.ClusterBits), word.CompressedLength(image.ClusterBits), times);
        Allocated++;
        Compressed++;
        Fragmented++;
    }

    private void CountStandard(ulong entry, ulong bitmap, ulong times)
    {
        if ((entry & EntryRules.L2Reserved) != 0)
        {
            Corrupt(times, isRepairable: true);
        }

        if (!EntryRules.HasCluster(entry, image))
        {
            if ((bitmap & EntryRules.AllocatedSubclusters) != 0)
            {
                Corrupt(times, isRepairable: false);
            }

            return;
        }

        if (((bitmap >> 32) & bitmap) != 0)
        {
            Corrupt(times, isRepairable: false);
        }

        var offset = (long)(entry & EntryRules.OffsetMask);
        if (!image.IsAligned((ulong)offset))
        {
            Corrupt(times, isRepairable: !HasContent(entry, bitmap));
        }

        Allocated++;
        if (expected != 0 && offset != expected)
        {
            Fragmented++;
        }

        expected = offset + image.ClusterSize;
        if (!image.HasDataFile)
        {
            Refer(offset, image.ClusterSize, times);
        }
    }

    private bool HasContent(ulong entry, ulong bitmap) => entrySize == 16
        ? (bitmap & EntryRules.AllocatedSubclusters) != 0
        : (entry & EntryRules.Zero) == 0;

    private void Corrupt(ulong times, bool isRepairable)
    {
        Corruptions += (long)times;
        Repairable += isRepairable ? (long)times : 0;
    }
}
