using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Registry.Storage.Metadata;

/// <summary>The upgrade of a PostgreSQL database, under an advisory lock of its session.</summary>
/// <remarks>The server releases the lock when the session ends, also that of a process that is killed. Each migration is
/// a transaction that records itself.</remarks>
internal sealed partial class PostgresMigration(RegistryDb db, TimeProvider time, TimeSpan limit, ILogger logger)
{
    // A pair of numbers is a key space of its own: the locks on projects are single numbers.
    private const int LockClass = 0x52454749;
    private const int LockObject = 1;
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan _sayEvery = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _sayAfter = TimeSpan.FromSeconds(2);

    /// <summary>Applies what is missing.</summary>
    /// <exception cref="TimeoutException">Another process holds the lock for longer than the limit.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (!await IsNeededAsync(cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        // One session for the lock and the work: what loses the one loses the other.
        await db.Database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await LockAsync(cancellationToken).ConfigureAwait(false);
            if (await IsNeededAsync(cancellationToken).ConfigureAwait(false))
            {
                await db.Database.MigrateAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            await UnlockAsync().ConfigureAwait(false);
            await db.Database.CloseConnectionAsync().ConfigureAwait(false);
        }
    }

    private async Task<bool> IsNeededAsync(CancellationToken cancellationToken) =>
        (await db.Database.GetPendingMigrationsAsync(cancellationToken).ConfigureAwait(false)).Any();

    private async Task LockAsync(CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        var said = _sayAfter - _sayEvery;
        while (!await db.Database.SqlQuery<bool>(
                $"""select pg_try_advisory_lock({LockClass}, {LockObject}) as "Value" """)
            .SingleAsync(cancellationToken).ConfigureAwait(false))
        {
            var waited = time.GetElapsedTime(started);
            if (waited >= limit)
            {
                throw new TimeoutException(
                    $"the database is still being upgraded by {await HolderAsync(cancellationToken).ConfigureAwait(false)} " +
                    $"after {waited.TotalSeconds:F0} s: wait for it, or end it with pg_terminate_backend, and try again");
            }

            if (waited - said >= _sayEvery)
            {
                said = waited;
                Log.Waiting(
                    logger, await HolderAsync(cancellationToken).ConfigureAwait(false), (long)waited.TotalSeconds,
                    (long)limit.TotalSeconds);
            }

            await Task.Delay(_poll, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<string> HolderAsync(CancellationToken cancellationToken) =>
        await db.Database.SqlQuery<string>(
                $"""
                select format('backend %s of client %s', a.pid, coalesce(host(a.client_addr), 'on a local socket')) as "Value"
                from pg_locks l join pg_stat_activity a on a.pid = l.pid
                where l.locktype = 'advisory' and l.granted and l.classid = {LockClass}::oid and l.objid = {LockObject}::oid
                  and l.database = (select oid from pg_database where datname = current_database())
                """)
            .FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false) ?? "another process";

    // Best effort: a session that is broken has lost its locks already. Other locks of the session are none of this one's.
    private async Task UnlockAsync()
    {
        try
        {
            await db.Database.SqlQuery<bool>(
                    $"""select pg_advisory_unlock({LockClass}, {LockObject}) as "Value" """)
                .SingleAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is NpgsqlException or InvalidOperationException)
        {
            Log.NotUnlocked(logger, e);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "waiting for the upgrade of the database by {Holder}, for {Seconds} s so far, at most {Limit} s")]
        public static partial void Waiting(ILogger logger, string holder, long seconds, long limit);

        [LoggerMessage(2, LogLevel.Debug, "the lock on the schema ends with its session")]
        public static partial void NotUnlocked(ILogger logger, Exception exception);
    }
}
