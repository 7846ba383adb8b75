using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>What a purge removed.</summary>
/// <param name="Images">Rows of images; their ids stay.</param>
/// <param name="Jobs">Rows of jobs.</param>
public readonly record struct PurgedRows(int Images, int Jobs);

/// <summary>Removes what the database remembers of things that ended long ago.</summary>
/// <remarks>A deleted image leaves its id behind as a <see cref="ImageTombstone"/>, in the transaction that removes its row,
/// so that there is no moment at which the id is free.</remarks>
public sealed class DatabasePurge(IDbContextFactory<RegistryDb> databases, TimeProvider time)
{
    private const int BatchMax = 500;

    /// <summary>Whether a purged image had an id.</summary>
    internal static Task<bool> HadAsync(RegistryDb db, string id, CancellationToken cancellationToken) =>
        db.Tombstones.AnyAsync(t => t.Id == id, cancellationToken);

    /// <summary>Removes rows, a few in each transaction. Two that run at once share the work.</summary>
    /// <param name="age">Only what was deleted, or ended, longer ago.</param>
    /// <param name="rowsMax">At most so many rows of each table; null for all.</param>
    /// <param name="cancellationToken">Cancels between transactions.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome of the last of them is
    /// unknown; purge again.</exception>
    public async Task<PurgedRows> RunAsync(TimeSpan age, int? rowsMax, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(age, TimeSpan.Zero);
        return new PurgedRows(
            await RunAsync(PurgeImagesAsync, age, rowsMax, cancellationToken).ConfigureAwait(false),
            await RunAsync(PurgeJobsAsync, age, rowsMax, cancellationToken).ConfigureAwait(false));
    }

    private async Task<int> RunAsync(
        Func<RegistryDb, DateTimeOffset, int, CancellationToken, Task<int>> purge,
        TimeSpan age,
        int? rowsMax,
        CancellationToken cancellationToken)
    {
        var (purged, left) = (0, rowsMax ?? int.MaxValue);
        while (left > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int batch;
            try
            {
                batch = await WriteTransaction.RunAsync(
                    databases,
                    async (db, _) =>
                    {
                        var now = await DatabaseDialect.NowAsync(db, time, cancellationToken).ConfigureAwait(false);
                        return await purge(
                            db, Timestamps.Stored(now - age), Math.Min(left, BatchMax), cancellationToken)
                            .ConfigureAwait(false);
                    },
                    cancellationToken).ConfigureAwait(false);
            }
            catch (DbUpdateException exception) when (DatabaseDialect.IsUniqueViolation(exception))
            {
                continue; // somebody else purges the same ones
            }

            if (batch == 0)
            {
                break;
            }

            purged += batch;
            left -= batch;
        }

        return purged;
    }

    private static async Task<int> PurgeImagesAsync(
        RegistryDb db, DateTimeOffset limit, int rows, CancellationToken cancellationToken)
    {
        var old = await db.Images.AsNoTracking()
            .Where(i => i.Status == ImageStatus.Deleted && i.DeletedAt < limit)
            .OrderBy(i => i.CreatedAt).ThenBy(i => i.Id).Take(rows)
            .Select(i => new ImageTombstone(i.Id, i.DeletedAt!.Value))
            .ToListAsync(cancellationToken).ConfigureAwait(false);
        db.Tombstones.AddRange(old);
        await db.SaveChangesAsync(cancellationToken).ConfigureAwait(false);
        var ids = old.Select(tombstone => tombstone.Id).ToArray();
        return await db.Images.Where(i => ids.Contains(i.Id)).ExecuteDeleteAsync(cancellationToken)
            .ConfigureAwait(false);
    }

    private static async Task<int> PurgeJobsAsync(
        RegistryDb db, DateTimeOffset limit, int rows, CancellationToken cancellationToken)
    {
        var ids = await db.Jobs.AsNoTracking().Where(j => j.EndedAt < limit).OrderBy(j => j.EndedAt).Take(rows)
            .Select(j => j.Id).ToArrayAsync(cancellationToken).ConfigureAwait(false);
        return await db.Jobs.Where(j => ids.Contains(j.Id)).ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
    }
}
