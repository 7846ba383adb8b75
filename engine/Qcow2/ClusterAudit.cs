using System.Buffers.Binary;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2;

/// <summary>Watches one pass over a whole disk: no stored cluster is used twice, none lies on metadata.</summary>
/// <remarks>
/// Holds two bits for each cluster of the file, in pages that exist only where something is marked, so memory follows
/// the file and never a number in it. Compressed clusters may share a cluster with each other, but no two start at the
/// same byte, and together they cannot claim more bytes than the file has.
/// </remarks>
internal sealed class ClusterAudit
{
    private const int PageClusters = 1 << 16;
    private const int ClustersPerByte = 4;

    private readonly byte[]?[] pages;
    private readonly long fileLength;
    private readonly int clusterBits;
    private readonly ByteStarts compressedStarts;
    private long compressedBytes;

    private ClusterAudit(in QcowHeader header, long fileLength)
    {
        this.fileLength = fileLength;
        clusterBits = (int)header.ClusterBits;
        var clusters = ((fileLength - 1) >> clusterBits) + 1;
        pages = new byte[]?[((clusters - 1) / PageClusters) + 1];
        compressedStarts = new ByteStarts(fileLength);
    }

    private enum Use : byte
    {
        Free = 0,
        Metadata = 1,
        Data = 2,
        Compressed = 3,
    }

    /// <summary>Marks all metadata that the header leads to, and refuses what QEMU would not open.</summary>
    /// <exception cref="ImageFormatException">Two structures share a cluster, or one lies outside the file or is not
    /// valid.</exception>
    public static async ValueTask<ClusterAudit> StartAsync(
        IByteSource source, QcowHeader header, QcowHeaderExtensions extensions, Limits limits, ulong[] l1,
        CancellationToken cancellationToken)
    {
        var audit = new ClusterAudit(header, source.Length);
        audit.MarkMetadata(0, 1, "header");
        audit.MarkMetadata((long)header.L1Offset, (long)header.L1Entries * 8, "L1 table");
        audit.MarkMetadata(
            (long)header.RefcountTableOffset,
            (long)header.RefcountTableClusters << (int)header.ClusterBits,
            "refcount table");
        await audit.MarkRefcountBlocksAsync(source, header, cancellationToken).ConfigureAwait(false);
        if (header.SnapshotCount > 0)
        {
            var snapshots = await QcowSnapshots.ReadAsync(source, header, cancellationToken).ConfigureAwait(false);
            audit.MarkMetadata((long)header.SnapshotsOffset, snapshots.TableBytes, "snapshot table");
            foreach (var snapshot in snapshots.Items)
            {
                audit.MarkMetadata(snapshot.L1Offset, snapshot.L1Entries * 8L, "L1 table of a snapshot");
            }
        }

        audit.MarkL2Tables(header, l1);
        await QcowOpenRules
            .RequireAsync(source, header, extensions, limits, audit.MarkMetadata, cancellationToken)
            .ConfigureAwait(false);
        return audit;
    }

    /// <summary>Marks a plain cluster.</summary>
    /// <param name="cluster">Its number in the file.</param>
    /// <param name="guest">Guest offset, for the message.</param>
    public void MarkData(long cluster, long guest)
    {
        var before = Exchange(cluster, Use.Data);
        if (before != Use.Free)
        {
            throw Conflict(before, guest);
        }
    }

    /// <summary>Marks a compressed cluster.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes to the end of its last sector.</param>
    /// <param name="guest">Guest offset, for the message.</param>
    public void MarkCompressed(long offset, int length, long guest)
    {
        // The stream ends somewhere in its last sector, which it may share with the next one.
        compressedBytes += Math.Max(1, length - 511);
        if (compressedBytes > fileLength || !compressedStarts.TryAdd(offset))
        {
            throw Conflict(Use.Compressed, guest);
        }

        var last = Math.Min(offset + length, fileLength) - 1;
        for (var cluster = offset >> clusterBits; cluster <= last >> clusterBits; cluster++)
        {
            var before = Exchange(cluster, Use.Compressed);
            if (before is not (Use.Free or Use.Compressed))
            {
                throw Conflict(before, guest);
            }
        }
    }

    /// <summary>Ends the pass with what can only be told at its end.</summary>
    /// <exception cref="ImageFormatException">Two compressed clusters start at the same byte.</exception>
    public void Finish()
    {
        if (compressedStarts.HasDuplicates())
        {
            throw new ImageFormatException(
                FormatError.SharedCluster, "A compressed cluster is referenced more than once.");
        }
    }

    private static ImageFormatException Conflict(Use before, long guest) => before == Use.Metadata
        ? new(
            FormatError.OverlapsMetadata,
            $"The cluster at guest offset {guest} is stored on the image's own metadata.")
        : new(
            FormatError.SharedCluster,
            $"The cluster at guest offset {guest} shares its stored bytes with another one.");

    private async ValueTask MarkRefcountBlocksAsync(
        IByteSource source, QcowHeader header, CancellationToken cancellationToken)
    {
        const int ChunkBytes = 64 << 10;
        var chunk = new byte[ChunkBytes];
        var left = (long)header.RefcountTableClusters << (int)header.ClusterBits;
        for (var position = (long)header.RefcountTableOffset; left > 0;)
        {
            var piece = chunk.AsMemory(0, (int)Math.Min(ChunkBytes, left));
            if (await source.ReadAsync(position, piece, cancellationToken).ConfigureAwait(false) < piece.Length)
            {
                throw new EndOfStreamException("The image's bytes end inside its refcount table.");
            }

            MarkRefcountBlocks(piece.Span, position);
            position += piece.Length;
            left -= piece.Length;
        }
    }

    private void MarkRefcountBlocks(ReadOnlySpan<byte> entries, long position)
    {
        for (var i = 0; i < entries.Length; i += 8)
        {
            var entry = BinaryPrimitives.ReadUInt64BigEndian(entries[i..]) & ~511UL;
            if (entry == 0)
            {
                continue;
            }

            if ((entry & ((1UL << clusterBits) - 1)) != 0)
            {
                throw new ImageFormatException(
                    FormatError.Misaligned,
                    $"The refcount block at {entry} is not aligned to a cluster.",
                    position + i);
            }

            if (entry >= (ulong)fileLength)
            {
                throw new ImageFormatException(
                    FormatError.OutsideFile, $"The refcount block at {entry} lies outside the file.", position + i);
            }

            MarkMetadata((long)entry, 1, "refcount block");
        }
    }

    private void MarkL2Tables(in QcowHeader header, ulong[] l1)
    {
        for (var i = 0; i < l1.Length; i++)
        {
            var offset = new L1Entry(l1[i]).Offset;
            if (offset == 0
                || Exchange(L2Window.Checked(l1[i], i, header, fileLength) >> clusterBits, Use.Metadata) == Use.Free)
            {
                continue;
            }

            throw Array.Exists(l1[..i], entry => new L1Entry(entry).Offset == offset)
                ? new ImageFormatException(
                    FormatError.SharedCluster, $"The L2 table at {offset} is used more than once.", offset)
                : new ImageFormatException(
                    FormatError.OverlapsMetadata, $"The L2 table at {offset} lies on other metadata.", offset);
        }
    }

    private void MarkMetadata(long offset, long length, string what)
    {
        for (var cluster = offset >> clusterBits;
            length > 0 && cluster <= (offset + length - 1) >> clusterBits;
            cluster++)
        {
            if (Exchange(cluster, Use.Metadata) != Use.Free)
            {
                throw new ImageFormatException(
                    FormatError.OverlapsMetadata, $"The {what} lies on other metadata.", cluster << clusterBits);
            }
        }
    }

    private Use Exchange(long cluster, Use use)
    {
        var page = pages[cluster / PageClusters] ??= new byte[PageClusters / ClustersPerByte];
        var within = (int)(cluster % PageClusters);
        var shift = within % ClustersPerByte * 2;
        ref var cell = ref page[within / ClustersPerByte];
        var before = (Use)(cell >> shift & 3);
        if (before == Use.Free)
        {
            cell |= (byte)((int)use << shift);
        }

        return before;
    }
}
