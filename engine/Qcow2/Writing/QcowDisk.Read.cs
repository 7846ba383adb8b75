using System.Buffers;
using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    /// <summary>The L2 table of an L1 entry; null when there is none.</summary>
    private async ValueTask<L2Table?> FindTableAsync(int l1Index, CancellationToken cancellationToken)
    {
        var offset = new L1Entry(l1[l1Index]).Offset;
        return offset == 0 ? null : await tables.GetAsync(offset, cancellationToken).ConfigureAwait(false);
    }

    private (int L1, int L2) Locate(long offset) =>
        ((int)(offset / header.L2Coverage), (int)(offset % header.L2Coverage >> clusterBits));

    /// <summary>An entry as it is meant: "copied" without a place means something only with a data file.</summary>
    private ClusterEntry EntryAt(L2Table table, int index)
    {
        var entry = table[index];
        if (!entry.IsCompressed && entry.Host == 0 && !HasDataFile)
        {
            entry = entry.WithCopied(false);
        }

        var isLegal = entry.IsCompressed
            || ((entry.Host & (ClusterSize - 1)) == 0
                && (entry.Allocated & entry.Zero) == 0
                && (entry.Allocated == 0 || entry.Host != 0 || HasDataFile)
                && (entry.Zero == 0 || header.Version >= 3));
        return isLegal
            ? entry
            : throw new ImageFormatException(
                FormatError.InvalidTableEntry,
                $"Entry {index} of the L2 table at {table.Offset} contradicts the format. Repair the image first.",
                table.Offset);
    }

    private async ValueTask ReadGuestAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (buffer.Length > 0)
        {
            var (l1Index, l2Index) = Locate(offset);
            var table = l1Index < l1.Length
                ? await FindTableAsync(l1Index, cancellationToken).ConfigureAwait(false)
                : null;
            int length;
            if (table is null)
            {
                length = (int)Math.Min(buffer.Length, header.L2Coverage - (offset % header.L2Coverage));
                await ReadBackingAsync(offset, buffer[..length], cancellationToken).ConfigureAwait(false);
            }
            else
            {
                var within = (int)(offset & (ClusterSize - 1));
                length = Math.Min(buffer.Length, ClusterSize - within);
                await ReadEntryAsync(
                    EntryAt(table, l2Index), offset, within, buffer[..length], cancellationToken)
                    .ConfigureAwait(false);
            }

            offset += length;
            buffer = buffer[length..];
        }
    }

    /// <summary>Reads a part of one cluster.</summary>
    private async ValueTask ReadEntryAsync(
        ClusterEntry entry, long offset, int within, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (entry.IsCompressed)
        {
            await ReadCompressedAsync(entry, within, buffer, cancellationToken).ConfigureAwait(false);
            return;
        }

        while (buffer.Length > 0)
        {
            var unit = within / UnitSize;
            var kind = KindOf(entry, unit);
            var end = unit + 1;
            while (end < entry.Units && KindOf(entry, end) == kind)
            {
                end++;
            }

            var length = Math.Min(buffer.Length, (end * UnitSize) - within);
            var piece = buffer[..length];
            switch (kind)
            {
                case ExtentKind.Data:
                    await ReadHostAsync(entry.Host + within, offset, piece, cancellationToken).ConfigureAwait(false);
                    break;
                case ExtentKind.Zero:
                    piece.Span.Clear();
                    break;
                default:
                    await ReadBackingAsync(offset, piece, cancellationToken).ConfigureAwait(false);
                    break;
            }

            within += length;
            offset += length;
            buffer = buffer[length..];
        }
    }

    private static ExtentKind KindOf(ClusterEntry entry, int unit) =>
        (entry.Allocated >> unit & 1) != 0 ? ExtentKind.Data
        : (entry.Zero >> unit & 1) != 0 ? ExtentKind.Zero
        : ExtentKind.Hole;

    private async ValueTask ReadBackingAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var there = backing is null ? 0 : (int)Math.Clamp(backing.VirtualSize - offset, 0, buffer.Length);
        if (there > 0)
        {
            await backing!.ReadAsync(offset, buffer[..there], cancellationToken).ConfigureAwait(false);
        }

        buffer.Span[there..].Clear();
    }

    private async ValueTask ReadCompressedAsync(
        ClusterEntry entry, int within, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var word = new L2Entry(entry.Bits);
        var offset = word.CompressedOffset(clusterBits);
        var most = word.CompressedLength(clusterBits);
        var stored = ArrayPool<byte>.Shared.Rent(most);
        var cluster = ArrayPool<byte>.Shared.Rent(ClusterSize);
        try
        {
            // The last sector may lie past the end of the file.
            var length = await file.ReadAsync(offset, stored.AsMemory(0, most), cancellationToken)
                .ConfigureAwait(false);
            ClusterCodec.Decode(
                header.Compression, stored.AsSpan(0, length), cluster.AsSpan(0, ClusterSize), ClusterSize);
            cluster.AsSpan(within, buffer.Length).CopyTo(buffer.Span);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(stored);
            ArrayPool<byte>.Shared.Return(cluster);
        }
    }

    /// <summary>What the image itself says of a run of guest bytes, its backing file aside.</summary>
    /// <param name="offset">First guest byte.</param>
    /// <param name="length">Bytes at most.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Hole: the backing file shows through. The length is at least 1.</returns>
    private async ValueTask<(ExtentKind Kind, long Length)> RunAsync(
        long offset, long length, CancellationToken cancellationToken)
    {
        ExtentKind? kind = null;
        var at = offset;
        while (at < offset + length)
        {
            var (l1Index, l2Index) = Locate(at);
            var table = await FindTableAsync(l1Index, cancellationToken).ConfigureAwait(false);
            var within = (int)(at & (ClusterSize - 1));
            var (found, step) = table is null
                ? (ExtentKind.Hole, header.L2Coverage - (at % header.L2Coverage))
                : UnitRun(EntryAt(table, l2Index), within);
            if (kind is not null && kind != found)
            {
                break;
            }

            kind = found;
            at += step;
            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
        }

        return (kind ?? ExtentKind.Hole, Math.Min(at - offset, length));
    }

    private (ExtentKind Kind, long Length) UnitRun(ClusterEntry entry, int within)
    {
        if (entry.IsCompressed)
        {
            return (ExtentKind.Data, ClusterSize - within);
        }

        var unit = within / UnitSize;
        var kind = KindOf(entry, unit);
        var mask = kind == ExtentKind.Data ? entry.Allocated
            : kind == ExtentKind.Zero ? entry.Zero
            : entry.AllUnits & ~(entry.Allocated | entry.Zero);
        var run = Math.Min(entry.Units - unit, BitOperations.TrailingZeroCount(~(ulong)(mask >> unit)));
        return (kind, ((unit + run) * (long)UnitSize) - within);
    }
}
