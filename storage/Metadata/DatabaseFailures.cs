using Microsoft.Data.Sqlite;
using Npgsql;

namespace Registry.Storage.Metadata;

/// <summary>What an exception says of the database.</summary>
public static class DatabaseFailures
{
    // SQLite's codes: https://sqlite.org/rescode.html
    private const int SqliteBusy = 5;
    private const int SqliteLocked = 6;

    /// <summary>Whether the database failed in a way that may pass. Says nothing of whether the work was
    /// done.</summary>
    /// <remarks>The cause lies deep at times: reads wrap it in an <see cref="InvalidOperationException"/>.</remarks>
    public static bool MayPass(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is NpgsqlException { IsTransient: true }
                or SqliteException { SqliteErrorCode: SqliteBusy or SqliteLocked })
            {
                return true;
            }
        }

        return false;
    }
}
