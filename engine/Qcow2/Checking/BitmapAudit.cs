using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Counts what the persistent bitmaps refer to.</summary>
internal static class BitmapAudit
{
    private const int EntryBytes = 24;
    private const int MaxNameBytes = 1023;
    private const long MaxDataBytes = 512L << 20;
    private const int ChunkBytes = 64 << 10;
    private const uint InUse = 1;

    /// <summary>Counts directory, tables and data clusters.</summary>
    /// <exception cref="ImageFormatException">The directory or a table is malformed; qemu-img then does not check
    /// either.</exception>
    public static async ValueTask CountAsync(
        CheckedImage image,
        PaddedReader reader,
        L2Audit audit,
        ReferenceCounts references,
        CancellationToken cancellationToken)
    {
        if (image.Bitmaps is not { } bitmaps)
        {
            return;
        }

        var start = (long)bitmaps.DirectoryOffset;
        var end = start + (long)bitmaps.DirectorySize;
        audit.Refer(start, end - start, 1);
        var clusters = new RangeSweep();
        var entries = new RangeSweep();
        var count = 0u;
        for (var position = start; position < end; count++)
        {
            var bytes = await reader.ReadAsync(position, EntryBytes, cancellationToken).ConfigureAwait(false);
            var length = (EntryBytes + BinaryPrimitives.ReadUInt16BigEndian(bytes.Span[18..]) + 7L) & ~7;
            Require(count < bitmaps.Count && length <= end - position, "bitmap directory", position);
            AddTable(bytes.Span, image, audit, clusters, entries, position);
            position += length;
        }

        Require(count == bitmaps.Count, "bitmap directory", start);
        foreach (var (first, stop, times) in clusters.Pieces())
        {
            for (var cluster = first; cluster < stop; cluster++)
            {
                references.Add(cluster, times);
            }
        }

        foreach (var (first, stop, times) in entries.Pieces())
        {
            await CountDataAsync(first, stop, times, image, reader, audit, cancellationToken).ConfigureAwait(false);
        }
    }

    private static void AddTable(
        ReadOnlySpan<byte> entry,
        CheckedImage image,
        L2Audit audit,
        RangeSweep clusters,
        RangeSweep entries,
        long position)
    {
        var offset = BinaryPrimitives.ReadUInt64BigEndian(entry);
        var count = BinaryPrimitives.ReadUInt32BigEndian(entry[8..]);
        var flags = BinaryPrimitives.ReadUInt32BigEndian(entry[12..]);
        var granularity = entry[17];
        var dataBytes = (ulong)count << image.ClusterBits;
        Require(
            count > 0 && offset > 0 && image.IsAligned(offset) && offset <= long.MaxValue - (1UL << 40)
            && dataBytes <= (ulong)MaxDataBytes && granularity is >= 9 and <= 31 && flags <= 3 && entry[16] == 1
            && BinaryPrimitives.ReadUInt16BigEndian(entry[18..]) <= MaxNameBytes
            && BinaryPrimitives.ReadUInt32BigEndian(entry[20..]) == 0
            && ((flags & InUse) != 0 || (UInt128)image.Header.VirtualSize <= (UInt128)(dataBytes * 8) << granularity),
            "bitmap directory",
            position);
        var end = (long)offset + (count * 8L);
        if (end - image.FileLength >= image.ClusterSize)
        {
            audit.Refer((long)offset, count * 8L, 1);
        }
        else
        {
            clusters.Add((long)offset >> image.ClusterBits, image.ClustersOf(end));
        }

        entries.Add((long)offset, Math.Min(end, (image.FileLength + 7) & ~7));
    }

    private static async ValueTask CountDataAsync(
        long start,
        long end,
        ulong times,
        CheckedImage image,
        PaddedReader reader,
        L2Audit audit,
        CancellationToken cancellationToken)
    {
        for (var position = start; position < end; position += ChunkBytes)
        {
            var bytes = await reader.ReadAsync(position, (int)Math.Min(ChunkBytes, end - position), cancellationToken)
                .ConfigureAwait(false);
            for (var i = 0; i < bytes.Length; i += 8)
            {
                var entry = BinaryPrimitives.ReadUInt64BigEndian(bytes.Span[i..]);
                var offset = QcowBitmap.OffsetOf(entry);
                Require(QcowBitmap.IsValidEntry(entry, image.ClusterSize), "table of a bitmap", position + i);
                if (offset != 0)
                {
                    audit.Refer((long)offset, image.ClusterSize, times);
                }
            }
        }
    }

    private static void Require(bool condition, string what, long position)
    {
        if (!condition)
        {
            throw new ImageFormatException(FormatError.InvalidTableEntry, $"The {what} is malformed.", position);
        }
    }
}
