using System.Buffers;
using System.Buffers.Binary;
using Registry.Engine.Disks;

namespace Registry.Engine.Vmdk;

/// <content>From tables to grains.</content>
public sealed partial class VmdkImage
{
    private const int EntryBytes = sizeof(uint);
    private const uint ZeroedGrain = 1;

    /// <summary>In front of a compressed grain: guest sector (8 bytes) and length (4 bytes).</summary>
    private const int MarkerBytes = 12;

    private int TableBytes => (int)header.TableEntries * EntryBytes;

    /// <inheritdoc/>
    private protected override long AbsentRun(long block)
    {
        var index = (int)(block / header.TableEntries);
        var absent = directory.AsSpan(index).IndexOfAnyExcept(0u);
        return absent == 0 ? 0
            : absent < 0 ? long.MaxValue
            : ((index + (long)absent) * header.TableEntries) - block;
    }

    /// <inheritdoc/>
    private protected override async ValueTask<int> PlaceAsync(
        long first, Memory<BlockPlace> places, CancellationToken cancellationToken)
    {
        var index = (int)(first / header.TableEntries);
        var within = (int)(first % header.TableEntries);
        var tables = NeighbouringTables(index, within + places.Length);
        var count = Math.Min(places.Length, (tables * (int)header.TableEntries) - within);
        var buffer = ArrayPool<byte>.Shared.Rent(tables * TableBytes);
        try
        {
            var entries = buffer.AsMemory(0, tables * TableBytes);
            await ReadTableAsync((long)directory[index] * VmdkHeader.SectorBytes, entries, cancellationToken)
                .ConfigureAwait(false);
            if (IsCompressed)
            {
                PlaceCompressed(entries.Span, within, first, places.Span[..count]);
            }
            else
            {
                for (var i = 0; i < count; i++)
                {
                    places.Span[i] = Place(Entry(entries.Span, within + i), first + i);
                }
            }

            return count;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc/>
    private protected override BlockAudit StartAudit()
    {
        var overhead = Math.Max((long)header.OverheadSectors, 1 + (long)header.DescriptorSectors);
        var start = (long)header.DirectoryOffset * VmdkHeader.SectorBytes;
        FileRange[] metadata =
        [
            new FileRange(0, overhead * VmdkHeader.SectorBytes),
            new FileRange(start, start + (long)header.DirectoryBytes),
        ];
        return new BlockAudit(
            Source.Length, BlockBytes, leadBytes: 0, metadata, new TableRanges(sortedTables, TableBytes));
    }

    /// <summary>The grain tables by their places. None may lie on another, so that what a listing costs is bounded by
    /// the file and not by its directory.</summary>
    /// <exception cref="ImageFormatException">A table is used twice or outside the file.</exception>
    private uint[] SortTables()
    {
        var used = directory.Length - directory.AsSpan().Count(0u);
        if ((long)used * TableBytes > Source.Length)
        {
            throw SharedTable();
        }

        var sorted = new uint[used];
        var filled = 0;
        foreach (var table in directory)
        {
            if (table != 0)
            {
                sorted[filled++] = table;
            }
        }

        Array.Sort(sorted);
        for (var i = 1; i < sorted.Length; i++)
        {
            if ((sorted[i] - (long)sorted[i - 1]) * VmdkHeader.SectorBytes < TableBytes)
            {
                throw SharedTable();
            }
        }

        return sorted.Length == 0 || ((long)sorted[^1] * VmdkHeader.SectorBytes) + TableBytes <= Source.Length
            ? sorted
            : throw new ImageFormatException(FormatError.OutsideFile, "A VMDK grain table lies outside the file.");
    }

    private static ImageFormatException SharedTable() =>
        new(FormatError.SharedCluster, "The VMDK uses a grain table more than once.");

    /// <summary>How many tables follow each other in the file, of those that are wanted: one read brings them.</summary>
    private int NeighbouringTables(int index, int entries)
    {
        var wanted = (entries + (int)header.TableEntries - 1) / (int)header.TableEntries;
        var tables = 1;
        while (tables < wanted
            && ((long)directory[index + tables] - directory[index]) * VmdkHeader.SectorBytes == (long)tables * TableBytes)
        {
            tables++;
        }

        return tables;
    }

    private static uint Entry(ReadOnlySpan<byte> entries, int index) =>
        BinaryPrimitives.ReadUInt32LittleEndian(entries[(index * EntryBytes)..]);

    private bool IsStored(uint entry) => entry > ZeroedGrain || (entry == ZeroedGrain && !header.HasZeroedGrains);

    private BlockPlace Place(uint entry, long grain) => entry == 0 ? BlockPlace.Hole
        : !IsStored(entry) ? BlockPlace.Zero
        : BlockPlace.Data(RequireInside((ulong)entry * VmdkHeader.SectorBytes, BytesOf(grain), grain));

    /// <summary>Only a grain itself tells how long it is, but none reaches beyond where the next one begins.</summary>
    private void PlaceCompressed(ReadOnlySpan<byte> entries, int within, long first, Span<BlockPlace> places)
    {
        var starts = ArrayPool<uint>.Shared.Rent(entries.Length / EntryBytes);
        try
        {
            var used = 0;
            for (var i = 0; i < entries.Length / EntryBytes; i++)
            {
                var entry = Entry(entries, i);
                starts[used] = entry;
                used += IsStored(entry) ? 1 : 0;
            }

            var sorted = starts.AsSpan(0, used);
            sorted.Sort();
            for (var i = 0; i < places.Length; i++)
            {
                var place = Place(Entry(entries, within + i), first + i, sorted);
                places[i] = place;
            }
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(starts);
        }
    }

    private BlockPlace Place(uint entry, long grain, ReadOnlySpan<uint> sorted)
    {
        if (!IsStored(entry))
        {
            return entry == 0 ? BlockPlace.Hole : BlockPlace.Zero;
        }

        var lead = header.HasMarkers ? MarkerBytes : 0;
        var start = RequireInside((ulong)entry * VmdkHeader.SectorBytes, lead + 1, grain);
        var at = sorted.BinarySearch(entry + 1L > uint.MaxValue ? uint.MaxValue : entry + 1);
        at = at < 0 ? ~at : at;
        var end = at < sorted.Length && sorted[at] > entry
            ? (long)sorted[at] * VmdkHeader.SectorBytes
            : Source.Length;
        end = Math.Min(Math.Min(end, start + (2 * BlockBytes)), Source.Length);
        return new BlockPlace(ExtentKind.Compressed, start + lead, end - start - lead);
    }
}
