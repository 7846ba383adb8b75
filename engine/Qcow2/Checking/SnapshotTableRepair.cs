using System.Buffers.Binary;
using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Writes a snapshot table anew in which every entry has what version 3 asks for.</summary>
internal static class SnapshotTableRepair
{
    private const int FixedBytes = 40;
    private const int ExtraBytes = 24;
    private const int MinExtraBytes = 16;

    /// <summary>Writes the new table at the file's end, then points the header at it. Its clusters are not counted
    /// yet, the old ones still are.</summary>
    public static async ValueTask RunAsync(IByteFile file, ImageAudit audit, CancellationToken cancellationToken)
    {
        var start = audit.References.Clusters << audit.Image.ClusterBits;
        var position = start;
        foreach (var item in audit.Snapshots.Items)
        {
            position = (position + 7) & ~7;
            var entry = new byte[item.Length];
            if (await file.ReadAsync(item.Position, entry, cancellationToken).ConfigureAwait(false) < entry.Length)
            {
                throw new EndOfStreamException("The image's bytes end inside its snapshot table.");
            }

            entry = Complete(entry, audit.Image.Header);
            await file.WriteAsync(position, entry, cancellationToken).ConfigureAwait(false);
            position += entry.Length;
        }

        await HeaderPatch
            .SetSnapshotsAsync(file, (uint)audit.Snapshots.Items.Count, start, cancellationToken)
            .ConfigureAwait(false);
    }

    private static byte[] Complete(byte[] entry, in QcowHeader header)
    {
        var extra = (int)BinaryPrimitives.ReadUInt32BigEndian(entry.AsSpan(36));
        if (extra >= MinExtraBytes)
        {
            return entry;
        }

        var complete = new byte[entry.Length - extra + ExtraBytes];
        entry.AsSpan(0, FixedBytes).CopyTo(complete);
        entry.AsSpan(FixedBytes + extra).CopyTo(complete.AsSpan(FixedBytes + ExtraBytes));
        var stateBytes = extra >= 8
            ? BinaryPrimitives.ReadUInt64BigEndian(entry.AsSpan(40))
            : BinaryPrimitives.ReadUInt32BigEndian(entry.AsSpan(32));
        BinaryPrimitives.WriteUInt32BigEndian(complete.AsSpan(36), ExtraBytes);
        BinaryPrimitives.WriteUInt64BigEndian(complete.AsSpan(40), stateBytes);
        BinaryPrimitives.WriteInt64BigEndian(complete.AsSpan(48), header.VirtualSize);
        BinaryPrimitives.WriteUInt64BigEndian(complete.AsSpan(56), ulong.MaxValue); // no instruction count
        return complete;
    }
}
