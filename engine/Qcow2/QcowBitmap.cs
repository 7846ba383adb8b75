using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>A persistent bitmap: which parts of the disk were written since it was made.</summary>
/// <param name="Name">Its name. Not escaped.</param>
/// <param name="GranularityBits">log2 of the guest bytes that one bit stands for, 9 to 31.</param>
/// <param name="Flags">The flags as they are stored.</param>
/// <param name="TableOffset">File offset of its table.</param>
/// <param name="TableEntries">Entries of its table.</param>
public sealed record QcowBitmap(string Name, int GranularityBits, QcowBitmapFlags Flags, long TableOffset, int TableEntries)
{
    private const int FixedBytes = 24;
    private const int MaxNameBytes = 1023;
    private const int MaxTableEntries = 1 << 27;
    private const ulong MaxDataBytes = 512UL << 20;
    private const ulong TableOffsetMask = 0x00FF_FFFF_FFFF_FE00;
    private const ulong ReservedBits = 0xFF00_0000_0000_01FE;
    private const ulong AllOnes = 1;

    /// <summary>Guest bytes that one bit stands for.</summary>
    public long Granularity => 1L << GranularityBits;

    /// <summary>Whether it was not closed properly, or its image was changed by a writer that does not know bitmaps:
    /// its
    /// bits mean nothing.</summary>
    public bool IsInconsistent { get; private init; }

    /// <summary>Its name as QEMU has it: the bytes up to the first zero, a character each.</summary>
    internal string StoredName { get; private init; } = "";

    /// <summary>Lists the bitmaps of an image.</summary>
    /// <param name="source">The image's bytes.</param>
    /// <param name="header">Its header, validated.</param>
    /// <param name="extensions">Its header extensions.</param>
    /// <param name="limits">The caps.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The directory is malformed, too large or outside the file.</exception>
    public static async ValueTask<IReadOnlyList<QcowBitmap>> ReadAllAsync(
        IByteSource source, QcowHeader header, QcowHeaderExtensions extensions, Limits limits,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(extensions);
        ArgumentNullException.ThrowIfNull(limits);
        if (extensions.Bitmaps is not { } place)
        {
            return [];
        }

        if (place.Count is 0 or > 65535 || place.DirectorySize is 0
            || place.DirectorySize > (ulong)limits.MaxBitmapDirectoryBytes)
        {
            throw new ImageFormatException(FormatError.TableTooLarge, "The bitmap directory is too large or empty.");
        }

        if ((place.DirectoryOffset & (ulong)(header.ClusterSize - 1)) != 0
            || place.DirectorySize > (ulong)source.Length
            || place.DirectoryOffset > (ulong)source.Length - place.DirectorySize)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The bitmap directory is misaligned or lies outside the file.");
        }

        var directory = new byte[(int)place.DirectorySize];
        await source.ReadAsync((long)place.DirectoryOffset, directory, cancellationToken).ConfigureAwait(false);
        var areConsistent = header.Autoclear.HasFlag(QcowAutoclear.Bitmaps);
        var bitmaps = new List<QcowBitmap>();
        for (var at = 0; at < directory.Length && bitmaps.Count <= place.Count;)
        {
            var bitmap = Parse(directory.AsSpan(at), header, out var length);
            bitmaps.Add(bitmap with
            {
                IsInconsistent = !areConsistent || bitmap.Flags.HasFlag(QcowBitmapFlags.InUse),
            });
            at = checked(at + length);
        }

        return bitmaps.Count == place.Count
            ? bitmaps
            : throw new ImageFormatException(
                FormatError.InvalidTableEntry, $"The bitmap directory does not hold the {place.Count} bitmaps it should.");
    }

    /// <summary>The parts of the disk whose bits are set: ascending, as long as they can be, and clipped to the
    /// disk.</summary>
    /// <param name="image">The image that the bitmap is of.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The bitmap is inconsistent, or its table is malformed.</exception>
    public async IAsyncEnumerable<(long Start, long Length)> RangesAsync(
        QcowImage image, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        if (IsInconsistent)
        {
            throw new ImageFormatException(
                FormatError.DirtyImage, "The bitmap is marked in use: it was not closed properly and says nothing.");
        }

        var source = image.Source;
        var table = await ReadTableAsync(image, cancellationToken).ConfigureAwait(false);
        var size = image.Header.VirtualSize;
        var bits = ((size - 1) >> GranularityBits) + 1;
        var cluster = new byte[image.ClusterSize];
        var perCluster = image.ClusterSize * 8L;
        var (start, end) = (0L, 0L); // bits of the run that is still growing
        for (var i = 0; i < TableEntries && i * perCluster < bits; i++)
        {
            var offset = (long)OffsetOf(table[i]);
            var count = (int)Math.Min(perCluster, bits - (i * perCluster));
            if (offset != 0)
            {
                await ReadClusterAsync(source, offset, cluster, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                cluster.AsSpan().Fill((table[i] & AllOnes) != 0 ? (byte)0xFF : (byte)0);
            }

            for (var bit = 0; bit < count;)
            {
                var run = Run(cluster, bit, count);
                var isSet = (cluster[bit >> 3] >> (bit & 7) & 1) != 0;
                var first = (i * perCluster) + bit;
                bit += run;
                if (!isSet)
                {
                    continue;
                }

                if (end == first && end > start)
                {
                    end += run;
                    continue;
                }

                if (end > start)
                {
                    yield return Range(start, end, size);
                }

                (start, end) = (first, first + run);
            }
        }

        if (end > start)
        {
            yield return Range(start, end, size);
        }
    }

    private (long Start, long Length) Range(long first, long past, long size) =>
        (first << GranularityBits, Math.Min(size, past << GranularityBits) - (first << GranularityBits));

    /// <summary>How many bits from one on are alike; whole bytes at once where they are.</summary>
    private static int Run(ReadOnlySpan<byte> bytes, int bit, int count)
    {
        var value = bytes[bit >> 3] >> (bit & 7) & 1;
        var end = bit;
        while (end < count)
        {
            if ((end & 7) == 0)
            {
                var rest = bytes[(end >> 3)..((count + 7) >> 3)];
                var same = rest.IndexOfAnyExcept(value != 0 ? (byte)0xFF : (byte)0);
                end += (same < 0 ? rest.Length : same) * 8;
                if (end >= count)
                {
                    break;
                }
            }

            if ((bytes[end >> 3] >> (end & 7) & 1) != value)
            {
                break;
            }

            end++;
        }

        return Math.Min(end, count) - bit;
    }

    private static async ValueTask ReadClusterAsync(
        IByteSource source, long offset, byte[] cluster, CancellationToken cancellationToken)
    {
        if ((offset & (cluster.Length - 1)) != 0 || offset > source.Length - cluster.Length)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, $"The bitmap's data at {offset} is misaligned or lies outside the file.", offset);
        }

        await source.ReadAsync(offset, cluster, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Where the entry of a bitmap's table leads; 0 for nowhere.</summary>
    internal static ulong OffsetOf(ulong entry) => entry & TableOffsetMask;

    /// <summary>Whether the entry of a bitmap's table has no reserved bit, and leads to a cluster or to nothing.</summary>
    internal static bool IsValidEntry(ulong entry, int clusterSize) => (entry & ReservedBits) == 0
        && (OffsetOf(entry) == 0
            || ((entry & AllOnes) == 0 && (OffsetOf(entry) & (ulong)(clusterSize - 1)) == 0));

    /// <summary>Bytes of the directory's entry for a name of so many bytes.</summary>
    internal static long DirectoryEntryBytes(int nameBytes) => (FixedBytes + nameBytes + 7) & ~7;

    /// <summary>Refuses a table that is not as long as the disk needs it.</summary>
    /// <exception cref="ImageFormatException"><see cref="FormatError.InvalidTableEntry"/>.</exception>
    internal void RequireTableLength(in QcowHeader header)
    {
        var size = header.VirtualSize;
        var bytes = size == 0 ? 0 : ((((size - 1) >> GranularityBits) + 1) + 7) / 8;
        var needed = (bytes + header.ClusterSize - 1) / header.ClusterSize;
        if (TableEntries != needed)
        {
            throw new ImageFormatException(
                FormatError.InvalidTableEntry, $"The bitmap's table has {TableEntries} entries, not {needed}.", TableOffset);
        }
    }

    /// <summary>Refuses a table that does not lie in the file.</summary>
    /// <exception cref="ImageFormatException"><see cref="FormatError.OutsideFile"/>.</exception>
    internal void RequireTableInside(long fileLength)
    {
        if (TableOffset > fileLength - (TableEntries * 8L))
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "The bitmap's table lies outside the file.", TableOffset);
        }
    }

    private async ValueTask<ulong[]> ReadTableAsync(QcowImage image, CancellationToken cancellationToken)
    {
        RequireTableLength(image.Header);
        RequireTableInside(image.Source.Length);
        var stored = new byte[TableEntries * 8];
        await image.Source.ReadAsync(TableOffset, stored, cancellationToken).ConfigureAwait(false);
        var table = new ulong[TableEntries];
        for (var i = 0; i < table.Length; i++)
        {
            table[i] = BinaryPrimitives.ReadUInt64BigEndian(stored.AsSpan(i * 8));
        }

        return table;
    }

    private static QcowBitmap Parse(ReadOnlySpan<byte> entry, in QcowHeader header, out int length)
    {
        if (entry.Length < FixedBytes)
        {
            throw Malformed("ends inside an entry");
        }

        var tableOffset = BinaryPrimitives.ReadUInt64BigEndian(entry);
        var tableEntries = BinaryPrimitives.ReadUInt32BigEndian(entry[8..]);
        var flags = (QcowBitmapFlags)BinaryPrimitives.ReadUInt32BigEndian(entry[12..]);
        var granularity = entry[17];
        int nameLength = BinaryPrimitives.ReadUInt16BigEndian(entry[18..]);
        var extraLength = BinaryPrimitives.ReadUInt32BigEndian(entry[20..]);
        if (extraLength != 0)
        {
            throw Malformed("has an entry with extra data");
        }

        length = (int)DirectoryEntryBytes(nameLength);
        if (length > entry.Length || nameLength > MaxNameBytes)
        {
            throw Malformed("has an entry that does not fit");
        }

        if (entry[16] != 1 || granularity is < 9 or > 31
            || (flags & ~(QcowBitmapFlags.InUse | QcowBitmapFlags.Auto)) != 0)
        {
            throw Malformed("has an entry of an unknown kind");
        }

        var dataBytes = (ulong)tableEntries << (int)header.ClusterBits;
        if (tableEntries is 0 or > MaxTableEntries || dataBytes > MaxDataBytes
            || tableOffset is 0 or > long.MaxValue || (tableOffset & (ulong)(header.ClusterSize - 1)) != 0)
        {
            throw Malformed("has an entry whose table is too large or misaligned");
        }

        if (!flags.HasFlag(QcowBitmapFlags.InUse) && (ulong)header.VirtualSize > (dataBytes * 8) << granularity)
        {
            throw Malformed("has an entry whose table is too short for the disk");
        }

        var name = entry.Slice(FixedBytes, nameLength);
        var zero = name.IndexOf((byte)0);
        return new QcowBitmap(
            Name: Encoding.UTF8.GetString(name),
            GranularityBits: granularity,
            Flags: flags,
            TableOffset: (long)tableOffset,
            TableEntries: (int)tableEntries)
        {
            StoredName = Encoding.Latin1.GetString(zero < 0 ? name : name[..zero]),
        };
    }

    private static ImageFormatException Malformed(string what) =>
        new(FormatError.InvalidTableEntry, $"The bitmap directory {what}.");
}

/// <summary>Flags of a bitmap.</summary>
[Flags]
public enum QcowBitmapFlags
{
    /// <summary>No flag is set.</summary>
    None = 0,

    /// <summary>Bit 0: it was not closed properly.</summary>
    InUse = 1 << 0,

    /// <summary>Bit 1: it is kept up to date while the disk is written.</summary>
    Auto = 1 << 1,
}
