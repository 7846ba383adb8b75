using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Writing;

public sealed partial class QcowDisk
{
    /// <summary>Writes all metadata in the order that a crash forgives, and flushes.</summary>
    private async ValueTask CommitAsync(CancellationToken cancellationToken)
    {
        var oldTable = await refcounts.WriteAsync(cancellationToken).ConfigureAwait(false);
        if (oldTable is { } old)
        {
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
            header = header with
            {
                RefcountTableOffset = (ulong)refcounts.TableOffset,
                RefcountTableClusters = (uint)refcounts.TableClusters,
            };
            await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
            refcounts.Release(old.First, old.Count);
        }

        // Content and counts first, then what points at them.
        await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        if (tables.IsDirty)
        {
            await tables.WriteAsync(cancellationToken).ConfigureAwait(false);
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        if (dirtyL1.End > dirtyL1.First)
        {
            var (first, end) = dirtyL1;
            await file.WriteAsync(
                (long)header.L1Offset + (first * 8L), ToBytes(l1.AsSpan(first, end - first)), cancellationToken)
                .ConfigureAwait(false);
            dirtyL1 = default;
            await file.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        await GiveBackAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Lowers the counts of what nothing on disk points at any more, and makes holes there.</summary>
    private async ValueTask GiveBackAsync(CancellationToken cancellationToken)
    {
        if (!refcounts.HasReleases)
        {
            return;
        }

        foreach (var (first, count) in await refcounts.ApplyReleasesAsync(cancellationToken).ConfigureAwait(false))
        {
            for (var cluster = first; cluster < first + count; cluster++)
            {
                tables.Forget(cluster << clusterBits);
            }

            packing = packing >> clusterBits >= first && packing >> clusterBits < first + count ? 0 : packing;
            var start = first << clusterBits;
            var end = Math.Min(file.Length, (first + count) << clusterBits);
            if (end > start)
            {
                await file.ZeroAsync(start, end - start, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask CloseAsync()
    {
        if (bitmaps?.Exists(static bitmap => bitmap.IsChanged) == true)
        {
            await StoreBitmapsAsync(CancellationToken.None).ConfigureAwait(false);
        }

        await CommitAsync(CancellationToken.None).ConfigureAwait(false);
        await CommitAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Writes metadata and forgets tables when too many have gathered.</summary>
    private async ValueTask MakeRoomAsync(CancellationToken cancellationToken)
    {
        if (!tables.IsFull)
        {
            return;
        }

        if (tables.IsDirty)
        {
            await CommitAsync(cancellationToken).ConfigureAwait(false);
        }

        tables.Shrink();
    }

    /// <summary>Writes the header's fields; the extensions stay.</summary>
    private async ValueTask WriteHeaderAsync(CancellationToken cancellationToken)
    {
        var bytes = new byte[QcowHeader.Version3Size];
        header.WriteTo(bytes);
        var length = (int)Math.Min(header.HeaderLength, (uint)bytes.Length);
        await file.WriteAsync(0, bytes.AsMemory(0, length), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Refuses to write content onto metadata: the image is damaged, and writing would make it
    /// worse.</summary>
    private async ValueTask CheckTargetAsync(long host, long length, CancellationToken cancellationToken)
    {
        var first = host >> clusterBits;
        var last = (host + length - 1) >> clusterBits;
        if (!Overlaps(0, 1)
            && !Overlaps((long)header.L1Offset, l1.Length * 8L)
            && !Overlaps(refcounts.TableOffset, (long)refcounts.TableClusters << clusterBits)
            && !Overlaps((long)header.SnapshotsOffset, snapshotTableBytes)
            && !refcounts.HasBlockIn(first, last)
            && !HasL2In(first, last))
        {
            return;
        }

        if (header.Version >= 3)
        {
            header = header with { Incompatible = header.Incompatible | QcowIncompatible.Corrupt };
            await WriteHeaderAsync(cancellationToken).ConfigureAwait(false);
        }

        throw new ImageFormatException(
            FormatError.OverlapsMetadata,
            $"Content would be written at {host}, onto the image's own metadata. Repair the image first.", host);

        bool Overlaps(long offset, long bytes) =>
            bytes > 0 && first <= (offset + bytes - 1) >> clusterBits && last >= offset >> clusterBits;
    }
}
