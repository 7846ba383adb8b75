using System.Buffers.Binary;
using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Changes single fields of a header, between flushes: what they point to is on disk before, and they are on
/// disk before what follows.</summary>
internal static class HeaderPatch
{
    private const int RefcountTableField = 48;
    private const int SnapshotsField = 60;
    private const int IncompatibleField = 72;

    /// <summary>Points at a new refcount table.</summary>
    public static ValueTask SetRefcountTableAsync(
        IByteFile file, long offset, uint clusters, CancellationToken cancellationToken)
    {
        var bytes = new byte[12];
        BinaryPrimitives.WriteInt64BigEndian(bytes, offset);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(8), clusters);
        return WriteAsync(file, RefcountTableField, bytes, cancellationToken);
    }

    /// <summary>Points at a new snapshot table.</summary>
    public static ValueTask SetSnapshotsAsync(
        IByteFile file, uint count, long offset, CancellationToken cancellationToken)
    {
        var bytes = new byte[12];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, count);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(4), offset);
        return WriteAsync(file, SnapshotsField, bytes, cancellationToken);
    }

    /// <summary>Clears the dirty and the corrupt bit.</summary>
    public static ValueTask ClearDamageAsync(IByteFile file, QcowHeader header, CancellationToken cancellationToken)
    {
        const QcowIncompatible Damage = QcowIncompatible.Dirty | QcowIncompatible.Corrupt;
        if (header.Version < 3 || (header.Incompatible & Damage) == 0)
        {
            return ValueTask.CompletedTask;
        }

        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, (ulong)(header.Incompatible & ~Damage));
        return WriteAsync(file, IncompatibleField, bytes, cancellationToken);
    }

    private static async ValueTask WriteAsync(
        IByteFile file, long field, byte[] bytes, CancellationToken cancellationToken)
    {
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        await file.WriteAsync(field, bytes, cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }
}
