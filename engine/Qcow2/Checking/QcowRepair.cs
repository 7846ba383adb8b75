using Registry.Engine.Bytes;
using Registry.Engine.Disks;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Repairs the metadata of qcow2 images in place, as <c>qemu-img check -r</c> does.</summary>
/// <remarks>
/// 1. Entries of tables that break a rule but keep their meaning are put right; an unaligned cluster that holds no data
///    becomes a zero cluster.
/// 2. Counts are made equal to the references; where their blocks cannot be used, the whole structure is made anew at
///    the file's end, flushed, and only then does the header point to it.
/// 3. Copied flags follow the counts, once those are on disk.
/// 4. A snapshot table that lacks what version 3 asks for is written anew.
/// 5. When no error is left, the dirty and the corrupt bit are cleared.
/// Every step is flushed before the next, and an interrupted repair is finished by another one. What would lose content
/// is left and reported: data outside the file or unaligned, subclusters that are both data and zero.
/// </remarks>
public static class QcowRepair
{
    private const int MaxRounds = 4;

    /// <summary>Repairs an image.</summary>
    /// <param name="file">The image; stays the caller's. Nobody else may write to it.</param>
    /// <param name="mode">What may be changed.</param>
    /// <param name="cancellationToken">Stops between steps and reads; what was done by then stays.</param>
    /// <returns>What a check finds afterwards, and what was repaired.</returns>
    /// <exception cref="ImageFormatException">The image cannot be checked, or only its leaks were to be repaired and
    /// its counts cannot be trusted for that.</exception>
    /// <exception cref="IOException">The image could not be read or written.</exception>
    public static async ValueTask<QcowCheckReport> RepairAsync(
        IByteFile file, QcowRepairMode mode, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(file);
        var isAll = mode == QcowRepairMode.All;
        var found = await ImageAudit.RunAsync(file, cancellationToken).ConfigureAwait(false);
        if (!isAll && (found.NeedsRebuild || found.Stored.HasUncounted))
        {
            throw new ImageFormatException(
                FormatError.CorruptImage,
                "Clusters are in use that are not counted: the reference counts must be repaired, not only leaks.");
        }

        if (found.Image.Header is { SnapshotCount: > 0, SnapshotsOffset: 0 })
        {
            throw new ImageFormatException(
                FormatError.OverlapsMetadata, "The snapshot table lies on the header; no repair can tell them apart.");
        }

        var audit = found;
        for (var rounds = 0; isAll && audit.RepairableEntries > 0 && rounds < 2; rounds++)
        {
            // Twice: while an L1 entry makes a table of the header, nothing else can be judged.
            await EntryRepair.RunAsync(file, audit, cancellationToken).ConfigureAwait(false);
            audit = await ImageAudit.RunAsync(file, cancellationToken).ConfigureAwait(false);
        }

        var counted = await RepairCountsAsync(file, audit, mode, cancellationToken).ConfigureAwait(false);
        var final = counted;
        if (counted.WrongFlags > 0
            && (isAll || counted.CountingErrors + counted.Stored.Leaks + counted.Stored.Unreadable == 0))
        {
            await FlagRepair.RunAsync(file, counted, cancellationToken).ConfigureAwait(false);
            final = await ImageAudit.RunAsync(file, cancellationToken).ConfigureAwait(false);
        }

        if (isAll && final.Snapshots.Incomplete > 0 && final.Snapshots.IsInside(final.Image))
        {
            await SnapshotTableRepair.RunAsync(file, final, cancellationToken).ConfigureAwait(false);
            final = await ImageAudit.RunAsync(file, cancellationToken).ConfigureAwait(false);
            final = await RepairCountsAsync(file, final, mode, cancellationToken).ConfigureAwait(false);
        }

        // A table that lies on others changes with them; what that moved is counted once more.
        for (var rounds = 0; rounds < MaxRounds && isAll && final.Stored.Leaks > 0; rounds++)
        {
            final = await RepairCountsAsync(file, final, mode, cancellationToken).ConfigureAwait(false);
        }

        var report = final.Report() with
        {
            CorruptionsFixed = Math.Max(0, found.TableErrors - audit.TableErrors)
                + Math.Max(0, audit.CountingErrors - counted.CountingErrors)
                + Math.Max(0, counted.WrongFlags - final.WrongFlags)
                + (found.Snapshots.Errors - final.Snapshots.Errors),
            LeaksFixed = Math.Max(0, audit.Stored.Leaks - counted.Stored.Leaks),
        };
        if (report.Corruptions == 0 && report.CheckErrors == 0)
        {
            await HeaderPatch.ClearDamageAsync(file, final.Image.Header, cancellationToken).ConfigureAwait(false);
        }

        return report;
    }

    private static async ValueTask<ImageAudit> RepairCountsAsync(
        IByteFile file, ImageAudit audit, QcowRepairMode mode, CancellationToken cancellationToken)
    {
        if (audit.NeedsRebuild)
        {
            await RefcountRebuild.RunAsync(file, audit, cancellationToken).ConfigureAwait(false);
        }
        else if (audit.Stored.Leaks > 0 || (audit.Stored.Errors > 0 && mode == QcowRepairMode.All))
        {
            await CountRepair.RunAsync(file, audit, mode, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            return audit;
        }

        return await ImageAudit.RunAsync(file, cancellationToken).ConfigureAwait(false);
    }
}
