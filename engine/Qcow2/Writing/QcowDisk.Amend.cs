using System.Numerics;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    /// <summary>Changes the image's shape; its content stays.</summary>
    /// <param name="amendment">What changes.</param>
    /// <param name="cancellationToken">Cancels; the object is unusable then.</param>
    /// <exception cref="DiskOperationException">The image has what the new shape cannot hold; nothing
    /// changed.</exception>
    public ValueTask AmendAsync(QcowAmendment amendment, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(amendment);
        return ExclusiveAsync(() => AmendShapeAsync(amendment, cancellationToken), cancellationToken);
    }

    private async ValueTask AmendShapeAsync(QcowAmendment amendment, CancellationToken cancellationToken)
    {
        var version = amendment.Version ?? (int)header.Version;
        var bits = amendment.RefcountBits ?? 1 << (int)header.RefcountOrder;
        Judge(amendment, version, bits);
        if (version > header.Version)
        {
            await UpgradeAsync(cancellationToken).ConfigureAwait(false);
        }

        if (bits != 1 << (int)header.RefcountOrder)
        {
            await ChangeRefcountWidthAsync(int.Log2(bits), cancellationToken).ConfigureAwait(false);
        }

        var compatible = amendment.LazyRefcounts switch
        {
            true => header.Compatible | QcowCompatible.LazyRefcounts,
            false => header.Compatible & ~QcowCompatible.LazyRefcounts,
            null => header.Compatible,
        };
        var autoclear = amendment.IsDataFileRaw == false
            ? header.Autoclear & ~QcowAutoclear.RawDataFile
            : header.Autoclear;
        if (compatible != header.Compatible || autoclear != header.Autoclear)
        {
            header = header with { Compatible = compatible, Autoclear = autoclear };
            await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        if (version < header.Version)
        {
            await DowngradeAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private void Judge(QcowAmendment amendment, int version, int bits)
    {
        Require(version is 2 or 3, "The version must be 2 or 3.");
        Require(
            bits is >= 1 and <= 64 && BitOperations.IsPow2(bits),
            "Refcount width must be a power of two and may not exceed 64 bits.");
        Require(
            version >= 3 || bits == 16,
            "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater).");
        Require(
            version >= 3 || amendment.LazyRefcounts != true,
            "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater).");
        Require(
            amendment.IsDataFileRaw != true || header.Autoclear.HasFlag(QcowAutoclear.RawDataFile),
            "data-file-raw cannot be set on existing images.");
        Require(
            bits == 1 << (int)header.RefcountOrder || bits > 1 || header.SnapshotCount == 0,
            "Refcounts of 1 bit cannot count the references of snapshots.");
        if (version == 2 && header.Version == 3)
        {
            const QcowIncompatible Needed =
                QcowIncompatible.DataFile | QcowIncompatible.CompressionType | QcowIncompatible.ExtendedL2;
            Require(
                (header.Incompatible & Needed) == 0,
                "Cannot downgrade an image with incompatible features set.");
            Require(area[HeaderArea.Bitmaps] is null, "Cannot downgrade an image with bitmaps.");
        }

        static void Require(bool condition, string sentence) => Refuse(!condition, sentence);
    }

    private async ValueTask UpgradeAsync(CancellationToken cancellationToken)
    {
        var snapshots = await ReadSnapshotsAsync(cancellationToken).ConfigureAwait(false);
        var complete = snapshots.ConvertAll(entry => entry.WithExtra(VirtualSize));
        if (!complete.SequenceEqual(snapshots))
        {
            await StoreSnapshotsAsync(complete, cancellationToken).ConfigureAwait(false);
        }

        area[HeaderArea.FeatureNames] = HeaderArea.KnownFeatureNames();
        await WriteAreaAsync(
            header with { Version = 3, HeaderLength = QcowHeader.Version3Size, RefcountOrder = 4 }, cancellationToken)
            .ConfigureAwait(false);
    }

    private async ValueTask DowngradeAsync(CancellationToken cancellationToken)
    {
        var snapshots = await ReadSnapshotsAsync(cancellationToken).ConfigureAwait(false);
        if (snapshots.Exists(entry => entry.DiskSize(VirtualSize) != VirtualSize))
        {
            throw new DiskOperationException("Internal snapshots of another size prevent the downgrade of the image.");
        }

        await StartRecountAsync(cancellationToken).ConfigureAwait(false);
        var seen = new HashSet<long>();
        await ExpandZeroesAsync(l1, seen, cancellationToken).ConfigureAwait(false);
        foreach (var snapshot in snapshots)
        {
            var entries = await ReadWordsAsync(snapshot.L1Offset, snapshot.L1Entries, cancellationToken)
                .ConfigureAwait(false);
            await ExpandZeroesAsync(entries, seen, cancellationToken).ConfigureAwait(false);
        }

        await FinishRecountAsync(cancellationToken).ConfigureAwait(false);
        area[HeaderArea.FeatureNames] = null;
        await WriteAreaAsync(
            header with
            {
                Version = 2,
                HeaderLength = QcowHeader.Version2Size,
                Incompatible = 0,
                Compatible = 0,
                Autoclear = 0,
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Says "zero" as version 2 can: with nothing where nothing shows through, else with stored
    /// zeroes.</summary>
    private async ValueTask ExpandZeroesAsync(
        ulong[] entries, HashSet<long> seen, CancellationToken cancellationToken)
    {
        for (var index = 0; index < entries.Length; index++)
        {
            if (new L1Entry(entries[index]).Offset is not (var offset and not 0) || !seen.Add(offset))
            {
                continue;
            }

            await MakeRoomAsync(cancellationToken).ConfigureAwait(false);
            var table = await tables.GetAsync(offset, cancellationToken).ConfigureAwait(false);

            // A table that snapshots share stands for that many references to each of its clusters.
            var references = await refcounts.GetAsync(offset >> clusterBits, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < table.Count; i++)
            {
                if (EntryAt(table, i) is { Zero: not 0 } entry)
                {
                    var guest = (index * header.L2Coverage) + ((long)i << clusterBits);
                    table[i] = await ExpandZeroAsync(entry, guest, references, cancellationToken)
                        .ConfigureAwait(false);
                }
            }
        }
    }

    private async ValueTask<ClusterEntry> ExpandZeroAsync(
        ClusterEntry entry, long guest, ulong references, CancellationToken cancellationToken)
    {
        for (var i = 0UL; i < references && entry.Host != 0; i++)
        {
            refcounts.Release(entry.Host >> clusterBits, 1);
        }

        if (backing is null)
        {
            return ClusterEntry.Absent(isExtended);
        }

        var cluster = await refcounts.TakeAsync(1, cancellationToken).ConfigureAwait(false);
        for (var i = 1UL; i < references; i++)
        {
            await refcounts.AddAsync(cluster, 1, cancellationToken).ConfigureAwait(false);
        }

        var host = cluster << clusterBits;
        await WriteZeroClusterAsync(host, guest, cancellationToken).ConfigureAwait(false);
        return ClusterEntry.Standard(host, references == 1, 1, 0, isExtended);
    }

    private async ValueTask WriteZeroClusterAsync(long host, long guest, CancellationToken cancellationToken)
    {
        for (var at = 0; at < ClusterSize; at += ZeroChunkBytes)
        {
            var zeroes = Zeroes.AsMemory(0, Math.Min(ZeroChunkBytes, ClusterSize - at));
            await WriteHostAsync(host + at, guest + at, zeroes, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask ChangeRefcountWidthAsync(int order, CancellationToken cancellationToken)
    {
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        await CommitAsync(cancellationToken).ConfigureAwait(false);
        var converted = await refcounts.ConvertAsync(order, cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        header = header with
        {
            RefcountOrder = (uint)order,
            RefcountTableOffset = (ulong)converted.TableOffset,
            RefcountTableClusters = (uint)converted.TableClusters,
        };
        await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        foreach (var cluster in refcounts.OwnClusters())
        {
            await file.ZeroAsync(cluster << clusterBits, ClusterSize, cancellationToken).ConfigureAwait(false);
        }

        refcounts = converted;
        packing = 0;
    }
}
