using System.Buffers;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>Brings L2 tables into memory, several ahead and neighbours in one read, for one pass over the L1
/// table.</summary>
/// <param name="source">The image's bytes.</param>
/// <param name="header">Its header.</param>
/// <param name="l1">Its L1 table.</param>
/// <param name="cache">Where tables of short passes are kept.</param>
internal sealed class L2Window(IByteSource source, QcowHeader header, ulong[] l1, TableCache cache) : IDisposable
{
    /// <summary>Bytes of tables held at most (one table may be 2 MiB).</summary>
    private const int WindowBytes = 4 << 20;

    /// <summary>Foreign bytes read along rather than issuing another read.</summary>
    private const int MaxGapBytes = 256 << 10;

    /// <summary>Bytes of one read at most.</summary>
    private const int MaxReadBytes = 8 << 20;

    /// <summary>A pass over at most this many tables leaves them in the cache.</summary>
    private const int CachedTables = 4;

    private readonly List<(long Offset, ReadOnlyMemory<byte> Table)> tables = [];
    private readonly List<byte[]> rented = [];
    private int first;

    /// <summary>The L2 table of an L1 entry that has one.</summary>
    /// <param name="index">L1 index.</param>
    /// <param name="last">Last L1 index this pass will ask for.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="ImageFormatException">The entry points outside the file or is misaligned.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> TableAsync(int index, int last, CancellationToken cancellationToken)
    {
        if (index < first || index >= first + tables.Count)
        {
            Release();
            first = index;
            await LoadAsync(last, cancellationToken).ConfigureAwait(false);
        }

        return tables[index - first].Table;
    }

    /// <inheritdoc/>
    public void Dispose() => Release();

    /// <summary>Judges an L2 table's offset.</summary>
    public static long Checked(ulong entry, int index, in QcowHeader header, long fileLength)
    {
        var offset = new L1Entry(entry).Offset;
        var field = (long)header.L1Offset + ((long)index * 8);
        if ((offset & (header.ClusterSize - 1)) != 0)
        {
            throw new ImageFormatException(
                FormatError.Misaligned, $"The L2 table at {offset} is not aligned to a cluster.", field);
        }

        if (offset > fileLength - header.ClusterSize)
        {
            throw new ImageFormatException(
                FormatError.OutsideFile, $"The L2 table at {offset} ends outside the file.", field);
        }

        return offset;
    }

    private async ValueTask LoadAsync(int last, CancellationToken cancellationToken)
    {
        var count = Math.Min(Math.Max(1, WindowBytes >> (int)header.ClusterBits), last + 1 - first);
        var missing = new List<(long Offset, int Slot)>();
        for (var i = 0; i < count; i++)
        {
            var offset = new L1Entry(l1[first + i]).Offset;
            ReadOnlyMemory<byte> table = default;
            if (offset != 0 && !cache.TryGet(Checked(l1[first + i], first + i, header, source.Length), out table))
            {
                missing.Add((offset, i));
            }

            tables.Add((offset, table));
        }

        missing.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        await ReadMissingAsync(missing, keep: last + 1 - first <= CachedTables, cancellationToken)
            .ConfigureAwait(false);
    }

    private async ValueTask ReadMissingAsync(
        List<(long Offset, int Slot)> missing, bool keep, CancellationToken cancellationToken)
    {
        for (var from = 0; from < missing.Count;)
        {
            var start = missing[from].Offset;
            var end = start + header.ClusterSize;
            var until = from + 1;
            while (!keep && until < missing.Count
                && missing[until].Offset - end <= MaxGapBytes
                && missing[until].Offset + header.ClusterSize - start <= MaxReadBytes)
            {
                end = Math.Max(end, missing[until].Offset + header.ClusterSize);
                until++;
            }

            var buffer = keep ? new byte[end - start] : Rent((int)(end - start));
            var memory = buffer.AsMemory(0, (int)(end - start));
            if (await source.ReadAsync(start, memory, cancellationToken).ConfigureAwait(false) < memory.Length)
            {
                throw new EndOfStreamException("The image's bytes end inside an L2 table.");
            }

            for (; from < until; from++)
            {
                var (offset, slot) = missing[from];
                var table = memory.Slice((int)(offset - start), header.ClusterSize);
                tables[slot] = (offset, table);
                if (keep)
                {
                    cache.Add(offset, table);
                }
            }
        }
    }

    private byte[] Rent(int bytes)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(bytes);
        rented.Add(buffer);
        return buffer;
    }

    private void Release()
    {
        foreach (var buffer in rented)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        rented.Clear();
        tables.Clear();
    }
}
