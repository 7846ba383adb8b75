using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>The databases that the registry runs on.</summary>
public enum DatabaseKind
{
    /// <summary>A file, written by this process alone: the embedded default.</summary>
    Sqlite,

    /// <summary>A server that any number of replicas share.</summary>
    Postgres,
}

/// <summary>The few places where the two databases differ.</summary>
internal static class DatabaseDialect
{
    private const int ConnectSeconds = 5;
    private const int StatementSeconds = 4;
    private const int IdleInTransactionSeconds = 5;
    private const int PreparedStatements = 100;

    // A server takes 100 connections unless told otherwise, and several replicas share them; to make one costs as much as
    // dozens of our statements, so a crowd waits for one rather than makes more.
    private static readonly int ConnectionsMax = Math.Clamp(4 * Environment.ProcessorCount, 16, 100);
    private const int ConnectionsMin = 4;

    // SQLite's codes: https://sqlite.org/rescode.html
    private const int SqliteConstraintPrimaryKey = 1555;
    private const int SqliteConstraintUnique = 2067;

    /// <summary>Points a context at a database. The design-time factories of the migrations call it too.</summary>
    public static void Use(DbContextOptionsBuilder builder, DatabaseOptions options)
    {
        builder.UseSnakeCaseNamingConvention();
        switch (options.Kind)
        {
            case DatabaseKind.Sqlite:
                builder.UseSqlite(options.ConnectionString, o => o.MigrationsAssembly("Registry.Migrations.Sqlite"));
                builder.AddInterceptors(new SqliteSession(options.Reserve));
                break;
            case DatabaseKind.Postgres:
                builder.UseNpgsql(Settled(options.ConnectionString), o => o.MigrationsAssembly("Registry.Migrations.Postgres"));
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(options), options.Kind, "No such kind of database.");
        }
    }

    // What the operator set stays. A database that is cut off costs a statement its own time-out, that of the connection on
    // which it is called off, and 2 s more: 11 s, and a request is to be answered within 15. The statements are few and
    // always the same, so the server plans each once a connection; nothing is ever set on a connection that the next
    // user of it had to be spared.
    private static string Settled(string connectionString)
    {
        var said = new DbConnectionStringBuilder { ConnectionString = connectionString }.Keys.Cast<string>()
            .Select(key => key.Replace(" ", "", StringComparison.Ordinal)).ToHashSet(StringComparer.OrdinalIgnoreCase);
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        settings.Timeout = said.Contains("Timeout") ? settings.Timeout : ConnectSeconds;
        settings.CommandTimeout = said.Contains("CommandTimeout") ? settings.CommandTimeout : StatementSeconds;
        settings.MaxPoolSize = said.Contains("MaximumPoolSize") || said.Contains("MaxPoolSize")
            ? settings.MaxPoolSize
            : ConnectionsMax;
        settings.MinPoolSize = said.Contains("MinimumPoolSize") || said.Contains("MinPoolSize")
            ? settings.MinPoolSize
            : Math.Min(ConnectionsMin, settings.MaxPoolSize);
        settings.MaxAutoPrepare = said.Contains("MaxAutoPrepare") ? settings.MaxAutoPrepare : PreparedStatements;
        // A process that is stopped within a transaction keeps its row locks. The server ends the transaction, so that
        // others need not wait for these rows until the process continues.
        settings.Options = said.Contains("Options")
            ? settings.Options
            : $"-c idle_in_transaction_session_timeout={IdleInTransactionSeconds}s";
        settings.NoResetOnClose = !said.Contains("NoResetOnClose") || settings.NoResetOnClose;

        return settings.ConnectionString;
    }

    /// <summary>Whether a save failed because the key was taken.</summary>
    public static bool IsUniqueViolation(Exception exception) => exception.GetBaseException() switch
    {
        PostgresException postgres => postgres.SqlState == PostgresErrorCodes.UniqueViolation,
        SqliteException sqlite =>
            sqlite.SqliteExtendedErrorCode is SqliteConstraintPrimaryKey or SqliteConstraintUnique,
        _ => false,
    };

    /// <summary>The clock that leases are judged by: the server's, which the replicas share; on SQLite the process's, as it
    /// would be had its wall clock never been stepped.</summary>
    public static async Task<DateTimeOffset> NowAsync(
        RegistryDb db, TimeProvider time, CancellationToken cancellationToken)
    {
        if (db.Database.IsSqlite())
        {
            return SteadyClock.Of(time).Now;
        }

        var now = await db.Database.SqlQuery<DateTime>($"""select clock_timestamp() as "Value" """)
            .SingleAsync(cancellationToken).ConfigureAwait(false);
        return new DateTimeOffset(now, TimeSpan.Zero);
    }

    /// <summary>Keeps others from writing the image until the transaction ends, and waits for those who are.</summary>
    /// <remarks>On SQLite a transaction is the only writer anyway.</remarks>
    public static async Task LockAsync(RegistryDb db, string imageId, CancellationToken cancellationToken)
    {
        if (!db.Database.IsSqlite())
        {
            await db.Database.ExecuteSqlAsync(
                $"select 1 from images where id = {imageId} for update", cancellationToken)
                .ConfigureAwait(false);
        }
    }

    /// <summary>Keeps others from writing the namespace of metadata definitions until the transaction ends, and waits for
    /// those who are.</summary>
    /// <remarks>On SQLite a transaction is the only writer anyway.</remarks>
    public static async Task LockNamespaceAsync(RegistryDb db, string name, CancellationToken cancellationToken)
    {
        if (!db.Database.IsSqlite())
        {
            await db.Database.ExecuteSqlAsync(
                $"select 1 from metadef_namespaces where name = {name} for update", cancellationToken)
                .ConfigureAwait(false);
        }
    }

    /// <summary>Keeps others from promising room of a project's quota until the transaction ends.</summary>
    /// <remarks>On SQLite a transaction is the only writer anyway. Taken after an image's lock, never before.</remarks>
    public static async Task LockProjectAsync(RegistryDb db, string projectId, CancellationToken cancellationToken)
    {
        if (!db.Database.IsSqlite())
        {
            await db.Database.ExecuteSqlAsync(
                $"select pg_advisory_xact_lock(hashtextextended({projectId}, 0))", cancellationToken)
                .ConfigureAwait(false);
        }
    }

    /// <summary>Reads a job, which others can read but not change until the transaction ends.</summary>
    /// <remarks>On SQLite a transaction is the only writer anyway. Taken after an image's lock, never before.</remarks>
    /// <returns>Null when there is no such job.</returns>
    public static async Task<Job?> ShareJobAsync(RegistryDb db, Guid id, CancellationToken cancellationToken)
    {
        var rows = db.Database.IsSqlite()
            ? db.Jobs.Where(j => j.Id == id)
            : db.Jobs.FromSql($"select * from jobs where id = {id} for share");
        return (await rows.AsNoTracking().ToListAsync(cancellationToken).ConfigureAwait(false)).SingleOrDefault();
    }

    /// <summary>The end of a query that picks a row to work on: not one that somebody else is just picking.</summary>
    /// <remarks>On SQLite a transaction is the only writer anyway.</remarks>
    /// <param name="db">The database.</param>
    /// <param name="table">The table's alias in the query.</param>
    public static string SkipLocked(RegistryDb db, string table) =>
        db.Database.IsSqlite() ? "" : $"for update of {table} skip locked";

    /// <summary>A time as a parameter of hand-written SQL.</summary>
    public static object Parameter(RegistryDb db, DateTimeOffset time) => db.Database.IsSqlite() ? time.UtcTicks : time;
}
