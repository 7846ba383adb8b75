using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>What QEMU asks of an image before it opens it for reading and writing, besides what every reader asks of its
/// header, its extensions and its snapshots: the bitmaps that it would load, and the header that it would write.</summary>
/// <remarks>docs/reference/qcow2-open-rules.md has the table of all rules, QEMU's messages and ours.</remarks>
internal static class QcowOpenRules
{
    private const int BitmapsExtensionBytes = 24;
    private const int FeatureNamesBytes = 8 * 48;
    private const int FeatureNamesClusterMin = 8192; // smaller clusters have no room for the names
    private const int RecordBytes = 8;
    private const int EntryBytes = sizeof(ulong);
    private const int PieceBytes = 64 << 10;

    /// <summary>Refuses an image that QEMU would not open.</summary>
    /// <param name="source">The image's bytes.</param>
    /// <param name="header">Its header, validated.</param>
    /// <param name="extensions">Its header extensions.</param>
    /// <param name="limits">The caps.</param>
    /// <param name="mark">Called with the offset, the length and the kind of each part of the bitmaps; throws where that
    /// part of the file is in use already, which bounds the reading by the length of the file.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">QEMU would refuse it; the reason is named.</exception>
    public static async ValueTask RequireAsync(
        IByteSource source, QcowHeader header, QcowHeaderExtensions extensions, Limits limits,
        Action<long, long, string> mark, CancellationToken cancellationToken)
    {
        var areLoaded = extensions.Bitmaps is not null && header.Autoclear.HasFlag(QcowAutoclear.Bitmaps);
        var bitmaps = areLoaded
            ? await QcowBitmap.ReadAllAsync(source, header, extensions, limits, cancellationToken).ConfigureAwait(false)
            : [];
        RequireOneOfEachName(bitmaps);
        if (areLoaded)
        {
            var place = extensions.Bitmaps!.Value;
            mark((long)place.DirectoryOffset, (long)place.DirectorySize, "bitmap directory");
            foreach (var bitmap in bitmaps)
            {
                await RequireTableAsync(source, header, bitmap, mark, cancellationToken).ConfigureAwait(false);
            }

            RequireSameDirectory(bitmaps, place);
        }

        // Loaded bitmaps are marked as in use; bits that QEMU does not know, and bitmaps that mean nothing, are dropped.
        if (bitmaps.Any(bitmap => !IsInUse(bitmap))
            || (header.Autoclear & ~(QcowAutoclear.Bitmaps | QcowAutoclear.RawDataFile)) != 0
            || (extensions.Bitmaps is not null && !areLoaded))
        {
            RequireRoomForHeader(header, extensions, areLoaded);
        }
    }

    private static bool IsInUse(QcowBitmap bitmap) => bitmap.Flags.HasFlag(QcowBitmapFlags.InUse);

    private static void RequireOneOfEachName(IReadOnlyList<QcowBitmap> bitmaps)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var bitmap in bitmaps)
        {
            if (!seen.Add(bitmap.StoredName) && !IsInUse(bitmap))
            {
                throw new ImageFormatException(FormatError.InvalidTableEntry, "Two bitmaps have the same name.");
            }
        }
    }

    private static async ValueTask RequireTableAsync(
        IByteSource source, QcowHeader header, QcowBitmap bitmap, Action<long, long, string> mark,
        CancellationToken cancellationToken)
    {
        var bytes = (long)bitmap.TableEntries * EntryBytes;
        bitmap.RequireTableInside(source.Length);
        mark(bitmap.TableOffset, bytes, "bitmap table");
        if (IsInUse(bitmap))
        {
            return; // its bits mean nothing and are not loaded
        }

        bitmap.RequireTableLength(header);
        var piece = new byte[(int)Math.Min(PieceBytes, bytes)];
        for (var at = 0L; at < bytes; at += piece.Length)
        {
            var part = piece.AsMemory(0, (int)Math.Min(piece.Length, bytes - at));
            await source.ReadAsync(bitmap.TableOffset + at, part, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < part.Length; i += EntryBytes)
            {
                RequireEntry(
                    BinaryPrimitives.ReadUInt64BigEndian(part.Span[i..]), header, source.Length,
                    bitmap.TableOffset + at + i, mark);
            }
        }
    }

    private static void RequireEntry(
        ulong entry, in QcowHeader header, long fileLength, long position, Action<long, long, string> mark)
    {
        var offset = QcowBitmap.OffsetOf(entry);
        if (!QcowBitmap.IsValidEntry(entry, header.ClusterSize))
        {
            throw new ImageFormatException(
                FormatError.InvalidTableEntry, $"The entry 0x{entry:x} of a bitmap's table is not valid.", position);
        }

        if (offset >= (ulong)fileLength)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, $"The bitmap's data at {offset} lies outside the file.", position);
        }

        if (offset != 0)
        {
            mark((long)offset, 1, "data of a bitmap");
        }
    }

    // The directory is written again in its place, with names that end at their first zero byte.
    private static void RequireSameDirectory(IReadOnlyList<QcowBitmap> bitmaps, QcowBitmapsExtension place)
    {
        var bytes = bitmaps.Sum(bitmap => QcowBitmap.DirectoryEntryBytes(bitmap.StoredName.Length));
        if (bytes != (long)place.DirectorySize && bitmaps.Any(bitmap => !IsInUse(bitmap)))
        {
            throw new ImageFormatException(FormatError.InvalidTableEntry, "A bitmap's name contains a zero byte.");
        }
    }

    private static void RequireRoomForHeader(
        in QcowHeader header, QcowHeaderExtensions extensions, bool hasBitmaps)
    {
        long bytes = header.Version == 2
            ? QcowHeader.Version2Size
            : Math.Max(QcowHeader.Version3Size, header.HeaderLength);
        bytes += extensions.BackingFormat is { } format ? Record(format.Length) : 0;
        bytes += header.Version > 2 && header.ClusterSize >= FeatureNamesClusterMin ? Record(FeatureNamesBytes) : 0;
        bytes += hasBitmaps ? Record(BitmapsExtensionBytes) : 0;
        bytes += extensions.Unknown.Sum(unknown => Record(unknown.Data.Length)) + RecordBytes;
        if (bytes > header.ClusterSize)
        {
            throw new ImageFormatException(
                FormatError.InvalidExtension,
                $"The header and its extensions need {bytes} bytes to be written again; a cluster has {header.ClusterSize}.");
        }
    }

    private static long Record(long bytes) => RecordBytes + ((bytes + 7) & ~7L);
}
