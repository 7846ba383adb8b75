using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Runs one write transaction, again where the database failed in passing.</summary>
/// <remarks>The answer to a COMMIT can get lost after the commit happened, and drivers call that transient. So work is
/// never repeated blindly: every attempt must begin by reading (under the image's lock, which waits for an attempt that
/// the server is still working on) whether an earlier attempt went through.</remarks>
internal static class WriteTransaction
{
    private const int AttemptsMax = 4;

    /// <summary>No attempt begins later: one that a partition swallows takes 9 s, and somebody waits for an
    /// answer.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(50);

    /// <param name="databases">Makes contexts.</param>
    /// <param name="work">Reads, decides, saves. Gets the number of the attempt, from 1.</param>
    /// <param name="cancellationToken">Cancels; not any more once the commit has begun.</param>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: failed for good; whether the
    /// work was done is unknown.</exception>
    public static async Task<T> RunAsync<T>(
        IDbContextFactory<RegistryDb> databases,
        Func<RegistryDb, int, Task<T>> work,
        CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await RunOnceAsync(databases, work, attempt, cancellationToken).ConfigureAwait(false);
            }
            catch (DbUpdateConcurrencyException) when (attempt < AttemptsMax)
            {
                // Somebody saved the image without taking its lock: look again.
            }
            catch (Exception exception) when (DatabaseFailures.IsFull(exception))
            {
                if (!await ReleaseAsync(databases, cancellationToken).ConfigureAwait(false))
                {
                    throw new RegistryException(
                        ErrorCode.StoreFull, "The database has no room left.", "store_full", exception);
                }
            }
            catch (Exception exception) when (DatabaseFailures.MayPass(exception))
            {
                if (attempt == AttemptsMax || Stopwatch.GetElapsedTime(started) > _patience)
                {
                    throw new RegistryException(
                        ErrorCode.DatabaseUnavailable, "The database does not answer.", inner: exception);
                }

                await Task.Delay(_pause * (1 << attempt), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    // What finds no room gets a part of the reserve: it is small, and often what makes room.
    private static async Task<bool> ReleaseAsync(
        IDbContextFactory<RegistryDb> databases, CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return SqliteSession.Of(db)?.Reserve?.Release() ?? false;
    }

    private static async Task<T> RunOnceAsync<T>(
        IDbContextFactory<RegistryDb> databases,
        Func<RegistryDb, int, Task<T>> work,
        int attempt,
        CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        var session = SqliteSession.Of(db);
        using var turn = session is null
            ? default
            : await session.EnterAsync(cancellationToken).ConfigureAwait(false);
        var result = await RunOnceAsync(db, work, attempt, cancellationToken).ConfigureAwait(false);
        if (session is not null)
        {
            await session.OptimizeSometimesAsync(db).ConfigureAwait(false);
        }

        return result;
    }

    private static async Task<T> RunOnceAsync<T>(
        RegistryDb db, Func<RegistryDb, int, Task<T>> work, int attempt, CancellationToken cancellationToken)
    {
        var transaction = await db.Database.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using var rollback = transaction.ConfigureAwait(false);

        var result = await work(db, attempt).ConfigureAwait(false);

        // A cancelled COMMIT is one whose outcome nobody knows.
        await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
        return result;
    }
}
