using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Changes L1 and L2 tables in place, where nothing else lies on them.</summary>
internal static class TableEdit
{
    private const int ChunkBytes = 64 << 10;

    /// <summary>Whether an L2 table may be written: aligned, whole, and in the cluster of nothing else.</summary>
    public static bool IsSafe(ImageAudit audit, (long Offset, ulong Active, ulong Inactive) table) =>
        table.Offset != 0
        && audit.Image.IsAligned((ulong)table.Offset)
        && table.Offset + audit.Image.ClusterSize <= audit.Image.FileLength
        && audit.References.Exact(table.Offset >> audit.Image.ClusterBits) == table.Active + table.Inactive;

    /// <summary>Whether flags may be set in an L2 table: aligned, whole, and not on header, L1 table, refcount table or
    /// snapshot table. A cluster that is a table and data at once gets flags that say so.</summary>
    public static bool MayFlag(ImageAudit audit, long offset)
    {
        var header = audit.Image.Header;
        var end = offset + audit.Image.ClusterSize;
        return offset != 0
            && audit.Image.IsAligned((ulong)offset)
            && end <= audit.Image.FileLength
            && !Overlaps(header.L1Offset, header.L1Entries * 8L)
            && !Overlaps(header.SnapshotsOffset, audit.Snapshots.Bytes)
            && !Overlaps(header.RefcountTableOffset, (long)header.RefcountTableClusters << audit.Image.ClusterBits);

        bool Overlaps(ulong start, long length) => length > 0 && (long)start < end && (long)start + length > offset;
    }

    /// <summary>Whether an L1 table may be written: inside the file and in the clusters of nothing else.</summary>
    public static bool IsSafe(ImageAudit audit, long offset, long entries)
    {
        var end = offset + (entries * 8);
        if (end > audit.Image.FileLength || offset == 0)
        {
            return false;
        }

        for (var cluster = offset >> audit.Image.ClusterBits; cluster < audit.Image.ClustersOf(end); cluster++)
        {
            // What a table that is not one refers to says nothing.
            if (audit.References.Exact(cluster) != 1 && !audit.HasPhantomTable)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Hands a table to an editor in pieces, and writes those that it says it changed.</summary>
    /// <param name="file">The image.</param>
    /// <param name="offset">Where the table starts.</param>
    /// <param name="length">Its bytes, all inside the file.</param>
    /// <param name="edit">Changes a piece; whether it did.</param>
    /// <param name="cancellationToken">Cancels between pieces.</param>
    public static async ValueTask RunAsync(
        IByteFile file, long offset, long length, Func<Memory<byte>, bool> edit, CancellationToken cancellationToken)
    {
        var buffer = new byte[(int)Math.Min(length, ChunkBytes)];
        for (var position = offset; position < offset + length; position += buffer.Length)
        {
            var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, offset + length - position));
            if (await file.ReadAsync(position, piece, cancellationToken).ConfigureAwait(false) < piece.Length)
            {
                throw new EndOfStreamException("The image's bytes end inside a table.");
            }

            if (edit(piece))
            {
                await file.WriteAsync(position, piece, cancellationToken).ConfigureAwait(false);
            }
        }
    }
}
