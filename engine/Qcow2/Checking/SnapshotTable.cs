using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>The snapshot table as a check reads it: nothing in it is trusted, names are not needed.</summary>
internal sealed class SnapshotTable
{
    private const int FixedBytes = 40;
    private const int MinExtraBytes = 16;
    private const int MaxExtraBytes = 1024;
    private const long MaxTableBytes = 64 << 20;
    private const uint MaxL1Entries = 4 << 20;

    private SnapshotTable(List<SnapshotPlace> items) => Items = items;

    /// <summary>The snapshots in order.</summary>
    public IReadOnlyList<SnapshotPlace> Items { get; }

    /// <summary>Bytes of the table.</summary>
    public long Bytes { get; private set; }

    /// <summary>Snapshots whose entry or L1 table cannot be as it is.</summary>
    public long Errors { get; private set; }

    /// <summary>Snapshots that lack what version 3 asks for; a repair adds it.</summary>
    public long Incomplete { get; private set; }

    /// <summary>The L1 tables that can be looked at: offset and entries.</summary>
    public IEnumerable<(long Offset, uint Entries)> Tables
    {
        get
        {
            foreach (var item in Items)
            {
                if (item.IsUsable && item.L1Entries > 0)
                {
                    yield return ((long)item.L1Offset, item.L1Entries);
                }
            }
        }
    }

    /// <summary>Whether the whole table is in the file.</summary>
    public bool IsInside(CheckedImage image) => (long)image.Header.SnapshotsOffset + Bytes <= image.FileLength;

    /// <summary>Reads the table.</summary>
    /// <exception cref="ImageFormatException">It is too large to be read.</exception>
    public static async ValueTask<SnapshotTable> ReadAsync(
        IByteSource source, CheckedImage image, CancellationToken cancellationToken)
    {
        var reader = new PaddedReader(source);
        var table = new SnapshotTable([]);
        var start = (long)image.Header.SnapshotsOffset;
        var position = start;
        for (var i = 0u; i < image.Header.SnapshotCount; i++)
        {
            position = (position + 7) & ~7;
            var bytes = await reader.ReadAsync(position, FixedBytes + MaxExtraBytes, cancellationToken)
                .ConfigureAwait(false);
            position += table.Add(bytes.Span, image, position);
            table.Bytes = position - start;
            if (table.Bytes > MaxTableBytes)
            {
                throw new ImageFormatException(
                    FormatError.TableTooLarge, "The snapshot table is larger than 64 MiB.", start);
            }
        }

        return table;
    }

    private long Add(ReadOnlySpan<byte> entry, CheckedImage image, long position)
    {
        var extra = BinaryPrimitives.ReadUInt32BigEndian(entry[36..]);
        if (extra > MaxExtraBytes)
        {
            throw new ImageFormatException(
                FormatError.TableTooLarge, "A snapshot has more than 1024 bytes of extra data.", position);
        }

        var offset = BinaryPrimitives.ReadUInt64BigEndian(entry);
        var entries = BinaryPrimitives.ReadUInt32BigEndian(entry[8..]);
        var isUsable = image.IsAligned(offset) && entries <= MaxL1Entries;
        if (isUsable && offset > long.MaxValue - (1L << 40))
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, "A snapshot's L1 table lies where no file can reach.", position);
        }

        var length = FixedBytes + extra + BinaryPrimitives.ReadUInt16BigEndian(entry[12..])
            + BinaryPrimitives.ReadUInt16BigEndian(entry[14..]);
        if (image.Header.Version >= 3 && extra < MinExtraBytes)
        {
            Errors++;
            Incomplete++;
        }

        Errors += isUsable ? 0 : 1;
        ((List<SnapshotPlace>)Items).Add(new SnapshotPlace(position, (int)length, offset, entries, isUsable));
        return length;
    }
}

/// <summary>Where a snapshot's entry and L1 table are.</summary>
/// <param name="Position">File offset of the entry.</param>
/// <param name="Length">Bytes of the entry.</param>
/// <param name="L1Offset">File offset of its L1 table.</param>
/// <param name="L1Entries">Entries of its L1 table.</param>
/// <param name="IsUsable">Whether the L1 table is aligned and not too large.</param>
internal readonly record struct SnapshotPlace(
    long Position, int Length, ulong L1Offset, uint L1Entries, bool IsUsable);
