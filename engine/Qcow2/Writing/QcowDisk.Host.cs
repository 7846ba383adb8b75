using System.Buffers;
using Registry.Engine.Crypto;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private const int CryptBytes = 256 << 10;

    /// <summary>Clusters of L2 tables that the L1 table in memory points at.</summary>
    private readonly HashSet<long> tableClusters = [];

    private bool HasL2In(long first, long last)
    {
        if (last - first > tableClusters.Count)
        {
            return tableClusters.Any(cluster => cluster >= first && cluster <= last);
        }

        for (var cluster = first; cluster <= last; cluster++)
        {
            if (tableClusters.Contains(cluster))
            {
                return true;
            }
        }

        return false;
    }

    private void SetL1(int index, ulong entry)
    {
        var old = new L1Entry(l1[index]).Offset;
        if (old != 0)
        {
            tableClusters.Remove(old >> clusterBits);
        }

        if (new L1Entry(entry).Offset is var offset and not 0)
        {
            tableClusters.Add(offset >> clusterBits);
        }

        l1[index] = entry;
        dirtyL1 = dirtyL1.End == dirtyL1.First
            ? (index, index + 1)
            : (Math.Min(dirtyL1.First, index), Math.Max(dirtyL1.End, index + 1));
    }

    /// <summary>Takes over another L1 table, all of it stored already.</summary>
    private void ReplaceL1(ulong[] entries)
    {
        l1 = entries;
        dirtyL1 = default;
        tableClusters.Clear();
        foreach (var entry in entries)
        {
            if (new L1Entry(entry).Offset is var offset and not 0)
            {
                tableClusters.Add(offset >> clusterBits);
            }
        }
    }

    /// <summary>Writes content to where it is stored.</summary>
    private async ValueTask WriteHostAsync(
        long host, long guest, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        if (!HasDataFile)
        {
            await CheckTargetAsync(host, data.Length, cancellationToken).ConfigureAwait(false);
        }

        if (cipher is null)
        {
            await content.WriteAsync(host, data, cancellationToken).ConfigureAwait(false);
            return;
        }

        var rented = ArrayPool<byte>.Shared.Rent(Math.Min(data.Length, CryptBytes));
        try
        {
            for (var at = 0; at < data.Length; at += CryptBytes)
            {
                var piece = rented.AsMemory(0, Math.Min(CryptBytes, data.Length - at));
                data.Slice(at, piece.Length).CopyTo(piece);
                cipher.Encrypt(SectorOf(host + at, guest + at), piece.Span);
                await content.WriteAsync(host + at, piece, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private async ValueTask ReadHostAsync(
        long host, long guest, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (cipher is null)
        {
            await ReadContentAsync(host, buffer, cancellationToken).ConfigureAwait(false);
            return;
        }

        var rented = ArrayPool<byte>.Shared.Rent(CryptBytes + (2 * SectorCipher.SectorBytes));
        try
        {
            while (buffer.Length > 0)
            {
                var skip = (int)(host & (SectorCipher.SectorBytes - 1));
                var length = Math.Min(CryptBytes, buffer.Length);
                var sectors = rented.AsMemory(
                    0, (skip + length + SectorCipher.SectorBytes - 1) & -SectorCipher.SectorBytes);
                await ReadContentAsync(host - skip, sectors, cancellationToken).ConfigureAwait(false);
                cipher.Decrypt(SectorOf(host - skip, guest - skip), sectors.Span);
                sectors.Slice(skip, length).CopyTo(buffer);
                host += length;
                guest += length;
                buffer = buffer[length..];
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private async ValueTask ReadContentAsync(long host, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        // A file may end inside its last cluster; beyond it there are zeroes.
        var read = await content.ReadAsync(host, buffer, cancellationToken).ConfigureAwait(false);
        buffer.Span[read..].Clear();
    }

    /// <summary>The number that a sector is encrypted under: its place in the file, or in the disk with the legacy
    /// encryption (format, section 9).</summary>
    private long SectorOf(long host, long guest) =>
        (header.CryptMethod == 1 ? guest : host) / SectorCipher.SectorBytes;
}
