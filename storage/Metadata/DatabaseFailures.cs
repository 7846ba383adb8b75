using Microsoft.Data.Sqlite;
using Npgsql;

namespace Registry.Storage.Metadata;

/// <summary>What an exception says of the database.</summary>
public static class DatabaseFailures
{
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    private const string IdleInTransaction = "25P03";

    // SQLite's codes: https://sqlite.org/rescode.html
    private const int SqliteBusy = 5;
    private const int SqliteLocked = 6;
    private const int SqliteReadOnly = 8;
    private const int SqliteDiskFailed = 10;
    private const int SqliteFull = 13;
    private const int SqliteCannotOpen = 14;
    private const int SqliteNoRoomForIndex = 4874; // SQLITE_IOERR_SHMSIZE: the index of the log cannot grow

    /// <summary>Whether the database failed in a way that may pass. Says nothing of whether the work was
    /// done.</summary>
    /// <remarks>The cause lies deep at times: reads wrap it in an <see cref="InvalidOperationException"/>.</remarks>
    public static bool MayPass(Exception exception) => Causes(exception).Any(cause =>
        cause is NpgsqlException { IsTransient: true }
            or PostgresException { SqlState: IdleInTransaction }
            or SqliteException { SqliteErrorCode: SqliteBusy or SqliteLocked });

    /// <summary>Whether the database found no room on its disk; nothing was done.</summary>
    public static bool IsFull(Exception exception) => Causes(exception).Any(cause =>
        cause is PostgresException { SqlState: PostgresErrorCodes.DiskFull }
            or SqliteException { SqliteErrorCode: SqliteFull }
            or SqliteException { SqliteExtendedErrorCode: SqliteNoRoomForIndex });

    /// <summary>Whether the database cannot be written to, for as long as an operator changes nothing.</summary>
    public static bool IsReadOnly(Exception exception) => Causes(exception).Any(cause =>
        cause is PostgresException { SqlState: PostgresErrorCodes.ReadOnlySqlTransaction }
            or SqliteException { SqliteErrorCode: SqliteReadOnly });

    /// <summary>Whether the embedded database's disk failed. Says nothing of whether the work was done.</summary>
    public static bool IsDisk(Exception exception) => Causes(exception).Any(cause =>
        cause is SqliteException { SqliteErrorCode: SqliteDiskFailed or SqliteCannotOpen });

    private static IEnumerable<Exception> Causes(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
        {
            yield return cause;
        }
    }
}
