using System.Buffers;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Storage.Blobs;

/// <summary>What to scrub, and whether to clean up.</summary>
/// <param name="ReadsData">Read every byte and compare it with its digest; otherwise only whether blobs are
/// there.</param>
/// <param name="RemovesOrphans">Remove what nothing refers to; otherwise only report it.</param>
/// <param name="Grace">Younger orphans are never removed.</param>
public sealed record ScrubOptions(bool ReadsData, bool RemovesOrphans, TimeSpan Grace)
{
    /// <summary>Describes the job that repairs a blob that is damaged or missing; null where the store takes no bytes.
    /// </summary>
    public Func<ImageLocation, JobOrder>? Repair { get; init; }
}

/// <summary>Compares a store with what the database says of it. Reports; removes only orphans, only when told to.
/// </summary>
/// <remarks>Metadata is never removed, and bytes of an image that lives are never touched. What is found damaged or
/// missing is marked, and its repair queued; what is found whole again is no longer marked.</remarks>
public sealed class BlobScrub(
    IDbContextFactory<RegistryDb> databases, BlobRemoval removal, LocationHealth health, TimeProvider time)
{
    private const int BatchBlobs = 200;
    private const int ReadBytes = 4 << 20;

    /// <summary>Scrubs a store.</summary>
    /// <param name="store">The store.</param>
    /// <param name="options">How.</param>
    /// <param name="progress">Hears of bytes of blobs looked at, and of all there are.</param>
    /// <param name="cancellationToken">Cancels between reads.</param>
    /// <exception cref="IOException">The store cannot even be listed.</exception>
    public async Task<ScrubReport> RunAsync(
        IBlobStore store, ScrubOptions options, Action<long, long> progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(progress);
        var report = new ScrubReport();
        await foreach (var batch in store.ListAsync(cancellationToken).Chunk(BatchBlobs)
            .WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            await FindOrphansAsync(store, batch, options, report, cancellationToken).ConfigureAwait(false);
        }

        await FindRemnantsAsync(store, options, report, cancellationToken).ConfigureAwait(false);
        await LookAtAllAsync(store, options, report, progress, cancellationToken).ConfigureAwait(false);
        return report;
    }

    private async Task FindOrphansAsync(
        IBlobStore store,
        BlobEntry[] batch,
        ScrubOptions options,
        ScrubReport report,
        CancellationToken cancellationToken)
    {
        var wanted = await BlobReferences.FindAsync(databases, store.Id, batch, cancellationToken)
            .ConfigureAwait(false);
        var youngest = SteadyClock.Of(time).Earliest - options.Grace;
        foreach (var entry in batch.Where(entry => !wanted.Contains(entry.Key)))
        {
            var isRemoved = options.RemovesOrphans && entry.ModifiedAt <= youngest
                && await removal.RemoveAsync(store, entry.Key, cancellationToken).ConfigureAwait(false);
            report.Add(new ScrubFinding(
                ScrubProblem.Orphan, store.Id, entry.Key.ImageId, entry.Key.Generation, isRemoved,
                entry.IsCommitted ? "Nothing refers to it." : "Half-written, and nobody is writing it."));
        }
    }

    private async Task FindRemnantsAsync(
        IBlobStore store, ScrubOptions options, ScrubReport report, CancellationToken cancellationToken)
    {
        var youngest = SteadyClock.Of(time).Earliest - options.Grace;
        foreach (var imageId in await store.TidyAsync(youngest, options.RemovesOrphans, cancellationToken)
            .ConfigureAwait(false))
        {
            report.Add(new ScrubFinding(
                ScrubProblem.Orphan, store.Id, imageId, Generation: 0, options.RemovesOrphans, "The image has an empty directory there."));
        }
    }

    private async Task LookAtAllAsync(
        IBlobStore store,
        ScrubOptions options,
        ScrubReport report,
        Action<long, long> progress,
        CancellationToken cancellationToken)
    {
        var total = await SumAsync(store.Id, cancellationToken).ConfigureAwait(false);
        var (done, after) = (0L, "");
        progress(done, total);
        for (var page = await PageAsync(store.Id, after, cancellationToken).ConfigureAwait(false);
            page.Count > 0;
            page = await PageAsync(store.Id, after, cancellationToken).ConfigureAwait(false))
        {
            foreach (var location in page)
            {
                var start = done;
                if (await LookAsync(
                        store, location, options, read => progress(start + read, total), cancellationToken)
                    .ConfigureAwait(false) is { } finding
                    && await IsStillWantedAsync(location, cancellationToken).ConfigureAwait(false))
                {
                    report.Add(finding);
                    await MarkAsync(location, finding, options, cancellationToken).ConfigureAwait(false);
                }
                else if (location.DamagedAt is not null)
                {
                    await health.ClearAsync(location.Key, location.StoreId, cancellationToken).ConfigureAwait(false);
                }

                report.Looked(options.ReadsData ? location.DataLength : 0);
                done += location.DataLength;
                progress(done, Math.Max(done, total));
            }

            after = page[^1].ImageId;
        }
    }

    private static async Task<ScrubFinding?> LookAsync(
        IBlobStore store,
        ImageLocation location,
        ScrubOptions options,
        Action<long> progress,
        CancellationToken cancellationToken)
    {
        try
        {
            var stat = await store.StatAsync(location.Key, cancellationToken).ConfigureAwait(false);
            if (stat is not { } found)
            {
                return Finding(ScrubProblem.Missing, "It is not in the store.");
            }

            if (found.DataLength != location.DataLength || found.IndexLength != location.IndexLength)
            {
                return Finding(
                    ScrubProblem.Missing,
                    $"It has {found.DataLength} bytes (index {found.IndexLength}); " +
                    $"{location.DataLength} (index {location.IndexLength}) were uploaded.");
            }

            if (options.ReadsData)
            {
                await ReadAllAsync(store, location, progress, cancellationToken).ConfigureAwait(false);
            }

            return null;
        }
        catch (BlobNotFoundException)
        {
            return Finding(ScrubProblem.Missing, "It is not in the store, or not whole.");
        }
        catch (BlobCorruptException corrupt)
        {
            return Finding(ScrubProblem.Damaged, corrupt.Message);
        }
        catch (IOException failure)
        {
            return Finding(ScrubProblem.Unreadable, failure.Message);
        }

        ScrubFinding Finding(ScrubProblem problem, string detail) =>
            new(problem, store.Id, location.ImageId, location.Generation, IsRemoved: false, detail);
    }

    private static async Task ReadAllAsync(
        IBlobStore store, ImageLocation location, Action<long> progress, CancellationToken cancellationToken)
    {
        var blob = await VerifiedBlob.OpenAsync(store, location, cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(ReadBytes);
        try
        {
            for (var offset = 0L; offset < blob.Length;)
            {
                offset += await blob.ReadAsync(offset, buffer.AsMemory(0, ReadBytes), cancellationToken)
                    .ConfigureAwait(false);
                progress(offset);
            }

            for (var offset = 0L; offset < blob.MapLength;)
            {
                offset += await blob.ReadMapAsync(offset, buffer.AsMemory(0, ReadBytes), cancellationToken)
                    .ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async Task MarkAsync(
        ImageLocation location, ScrubFinding finding, ScrubOptions options, CancellationToken cancellationToken)
    {
        // A store that failed says nothing about the bytes.
        if (finding.Problem != ScrubProblem.Unreadable)
        {
            await health.MarkAsync(
                location.Key, location.StoreId, options.Repair?.Invoke(location), cancellationToken)
                .ConfigureAwait(false);
        }
    }

    private async Task<long> SumAsync(string storeId, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return await db.Locations.Where(l => l.StoreId == storeId).SumAsync(l => l.DataLength, cancellationToken)
            .ConfigureAwait(false);
    }

    private async Task<List<ImageLocation>> PageAsync(
        string storeId, string after, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return await db.Locations.AsNoTracking()
            .Where(l => l.StoreId == storeId && string.Compare(l.ImageId, after) > 0)
            .OrderBy(l => l.ImageId).Take(BatchBlobs)
            .ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    // An image deleted while it was looked at has lost its blob rightly.
    private async Task<bool> IsStillWantedAsync(ImageLocation location, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return await db.Locations.AnyAsync(
            l => l.ImageId == location.ImageId && l.StoreId == location.StoreId
                && l.Generation == location.Generation,
            cancellationToken).ConfigureAwait(false);
    }
}
