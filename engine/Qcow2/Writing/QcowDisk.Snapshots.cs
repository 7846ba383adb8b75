using System.Globalization;
using System.Text;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    private const int MaxSnapshots = 65536;
    private const int MaxSnapshotTableBytes = 64 << 20;

    /// <summary>Keeps the disk as it is now under a name.</summary>
    /// <param name="name">The snapshot's name, 1 to 65535 bytes of UTF-8; need not be unique.</param>
    /// <param name="taken">The time to record.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">The image can hold no (more) snapshots.</exception>
    public ValueTask CreateSnapshotAsync(string name, DateTimeOffset taken, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return ExclusiveAsync(() => TakeSnapshotAsync(name, taken, cancellationToken), cancellationToken);
    }

    /// <summary>Makes the disk what it was at a snapshot, which stays. Its size may change.</summary>
    /// <param name="idOrName">The snapshot's id, else its name.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is no such snapshot, or it cannot be applied.</exception>
    public ValueTask ApplySnapshotAsync(string idOrName, CancellationToken cancellationToken) =>
        ExclusiveAsync(() => RevertAsync(idOrName, cancellationToken), cancellationToken);

    /// <summary>Deletes a snapshot and gives back what only it needed.</summary>
    /// <param name="idOrName">The snapshot's id, else its name.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">There is no such snapshot.</exception>
    public ValueTask DeleteSnapshotAsync(string idOrName, CancellationToken cancellationToken) =>
        ExclusiveAsync(() => DropSnapshotAsync(idOrName, cancellationToken), cancellationToken);

    private async ValueTask TakeSnapshotAsync(
        string name, DateTimeOffset taken, CancellationToken cancellationToken)
    {
        if (HasDataFile)
        {
            throw new DiskOperationException("An image with an external data file cannot hold snapshots.");
        }

        if (refcounts.Max == 1)
        {
            throw new DiskOperationException("Refcounts of 1 bit cannot count a snapshot's references.");
        }

        var snapshots = await ReadSnapshotsAsync(cancellationToken).ConfigureAwait(false);
        if (snapshots.Count >= MaxSnapshots)
        {
            throw new DiskOperationException("The image holds 65536 snapshots, which is the most.");
        }

        Refuse(Encoding.UTF8.GetByteCount(name) > ushort.MaxValue, "Snapshot name is longer than 65535 bytes");
        await SettleAsync(cancellationToken).ConfigureAwait(false);
        await RequireCountableAsync(l1, cancellationToken).ConfigureAwait(false);
        await StartRecountAsync(cancellationToken).ConfigureAwait(false);
        await AddReferencesAsync(l1, cancellationToken).ConfigureAwait(false);
        var copy = Array.ConvertAll(l1, static word => word & ~L1Entry.Copied);
        var first = await StoreTableAsync(copy, cancellationToken).ConfigureAwait(false);
        var id = 1 + snapshots.Max(static entry =>
            ulong.TryParse(entry.Id, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                ? (ulong?)number
                : null) ?? 1;
        snapshots.Add(SnapshotEntry.Create(
            id.ToString(CultureInfo.InvariantCulture), name, first << clusterBits, l1.Length, taken, VirtualSize));
        await StoreSnapshotsAsync(snapshots, cancellationToken).ConfigureAwait(false);
        await FinishRecountAsync(cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask RevertAsync(string idOrName, CancellationToken cancellationToken)
    {
        var snapshots = await ReadSnapshotsAsync(cancellationToken).ConfigureAwait(false);
        var snapshot = Find(snapshots, idOrName);
        var size = snapshot.DiskSize(VirtualSize) & ~511L;
        if (size != VirtualSize && header.Version < 3)
        {
            throw new DiskOperationException("The snapshot is of another size, which a version 2 image cannot follow.");
        }

        var needed = (size + header.L2Coverage - 1) / header.L2Coverage;
        if (size < 0 || needed > snapshot.L1Entries)
        {
            throw new DiskOperationException("The snapshot's L1 table is too short for its disk.");
        }

        var entries = await ReadWordsAsync(snapshot.L1Offset, snapshot.L1Entries, cancellationToken)
            .ConfigureAwait(false);
        await SettleAsync(cancellationToken).ConfigureAwait(false);
        await RequireCountableAsync(entries, cancellationToken).ConfigureAwait(false);
        if (size != VirtualSize)
        {
            await ResizeBitmapsAsync(size, cancellationToken).ConfigureAwait(false);
        }

        await StartRecountAsync(cancellationToken).ConfigureAwait(false);
        await AddReferencesAsync(entries, cancellationToken).ConfigureAwait(false);

        // The table moves: its old place keeps leading to the old disk until the header says otherwise.
        var (old, oldFirst, oldCount) = (l1, (long)header.L1Offset >> clusterBits, ClustersFor(l1.Length * 8L));
        Array.Resize(ref entries, Math.Max(entries.Length, l1.Length));
        var first = await StoreTableAsync(entries, cancellationToken).ConfigureAwait(false);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        header = header with
        {
            L1Offset = (ulong)first << clusterBits,
            L1Entries = (uint)entries.Length,
            Size = (ulong)size,
        };
        await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        ReplaceL1(entries);
        await ReleaseReferencesAsync(old, cancellationToken).ConfigureAwait(false);
        refcounts.Release(oldFirst, oldCount);
        await FinishRecountAsync(cancellationToken).ConfigureAwait(false);
        await DirtyAllBitmapsAsync(cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask DropSnapshotAsync(string idOrName, CancellationToken cancellationToken)
    {
        var snapshots = await ReadSnapshotsAsync(cancellationToken).ConfigureAwait(false);
        var snapshot = Find(snapshots, idOrName);
        var entries = await ReadWordsAsync(snapshot.L1Offset, snapshot.L1Entries, cancellationToken)
            .ConfigureAwait(false);
        snapshots.Remove(snapshot);
        await StartRecountAsync(cancellationToken).ConfigureAwait(false);
        await StoreSnapshotsAsync(snapshots, cancellationToken).ConfigureAwait(false);
        await ReleaseReferencesAsync(entries, cancellationToken).ConfigureAwait(false);
        refcounts.Release(snapshot.L1Offset >> clusterBits, ClustersFor(snapshot.L1Entries * 8L));
        await FinishRecountAsync(cancellationToken).ConfigureAwait(false);
    }

    private static SnapshotEntry Find(List<SnapshotEntry> snapshots, string idOrName) =>
        snapshots.Find(entry => entry.Id == idOrName)
        ?? snapshots.Find(entry => entry.Name == idOrName)
        ?? throw new DiskOperationException($"The image has no snapshot '{idOrName}'.");

    private async ValueTask<List<SnapshotEntry>> ReadSnapshotsAsync(CancellationToken cancellationToken)
    {
        if (header.SnapshotCount == 0)
        {
            return [];
        }

        var judged = await QcowSnapshots.ReadAsync(file, header, cancellationToken).ConfigureAwait(false);
        var bytes = new byte[judged.TableBytes];
        var read = await file.ReadAsync((long)header.SnapshotsOffset, bytes, cancellationToken).ConfigureAwait(false);
        snapshotTableBytes = judged.TableBytes;
        return SnapshotEntry.Split(bytes.AsSpan(0, read), (int)header.SnapshotCount);
    }

    /// <summary>Writes the snapshot table elsewhere, points the header at it, and releases the old one.</summary>
    private async ValueTask StoreSnapshotsAsync(List<SnapshotEntry> snapshots, CancellationToken cancellationToken)
    {
        var bytes = new byte[snapshots.Sum(static entry => (long)entry.StoredBytes)];
        if (bytes.Length > MaxSnapshotTableBytes)
        {
            throw new DiskOperationException("The snapshot table would exceed 64 MiB.");
        }

        var at = 0;
        foreach (var entry in snapshots)
        {
            entry.CopyTo(bytes.AsSpan(at));
            at += entry.StoredBytes;
        }

        var first = bytes.Length == 0 ? 0 : await StoreAsync(bytes, cancellationToken).ConfigureAwait(false);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        if (header.SnapshotCount > 0)
        {
            refcounts.Release((long)header.SnapshotsOffset >> clusterBits, ClustersFor(snapshotTableBytes));
        }

        header = header with { SnapshotCount = (uint)snapshots.Count, SnapshotsOffset = (ulong)first << clusterBits };
        snapshotTableBytes = bytes.Length;
        await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes everything, and gives back everything, so that counts say what is referenced.</summary>
    private async ValueTask SettleAsync(CancellationToken cancellationToken)
    {
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Begins work during which counts and "copied" flags disagree on disk.</summary>
    private async ValueTask StartRecountAsync(CancellationToken cancellationToken)
    {
        await SettleAsync(cancellationToken).ConfigureAwait(false);
        if (header.Version >= 3)
        {
            header = header with { Incompatible = header.Incompatible | QcowIncompatible.Dirty };
            await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask FinishRecountAsync(CancellationToken cancellationToken)
    {
        // Releases come into force with the first commit; the flags follow from the counts.
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        await RefreshCopiedAsync(cancellationToken).ConfigureAwait(false);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        if (header.Version >= 3)
        {
            header = header with { Incompatible = header.Incompatible & ~QcowIncompatible.Dirty };
            await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}
