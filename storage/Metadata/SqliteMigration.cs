using System.Data;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;

namespace Registry.Storage.Metadata;

/// <summary>The upgrade of an embedded database: all missing migrations in one transaction.</summary>
/// <remarks>EF Core's own way is not used. Its lock is a committed row of <c>__EFMigrationsLock</c>, which outlives a
/// process that is killed and makes every later upgrade wait forever; and it ends the transaction where a table is
/// rebuilt, so that a kill there leaves a migration half applied. Here SQLite's write lock, which the operating system
/// releases with the process, is the only lock, and a kill at any moment leaves the schema as it was.</remarks>
internal sealed partial class SqliteMigration(RegistryDb db, ILogger logger)
{
    private const string StaleLock = "__EFMigrationsLock";

    /// <summary>Applies what is missing and removes the lock that an earlier version may have left.</summary>
    /// <exception cref="Microsoft.Data.Sqlite.SqliteException">The database failed, or another process holds its write
    /// lock; the schema is unchanged.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (!await IsNeededAsync(cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        // The setting is ignored inside a transaction, and with it a rebuilt table would take the rows of others along.
        await db.Database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        await ExecuteAsync("PRAGMA foreign_keys = OFF", cancellationToken).ConfigureAwait(false);
        try
        {
            await ApplyAsync(cancellationToken).ConfigureAwait(false);
            await SqliteSession.OptimizeAsync(db, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await ExecuteAsync("PRAGMA foreign_keys = ON", CancellationToken.None).ConfigureAwait(false);
            await db.Database.CloseConnectionAsync().ConfigureAwait(false);
        }
    }

    private async Task<bool> IsNeededAsync(CancellationToken cancellationToken) =>
        (await db.Database.GetPendingMigrationsAsync(cancellationToken).ConfigureAwait(false)).Any()
        || await HasStaleLockAsync(cancellationToken).ConfigureAwait(false);

    private async Task ApplyAsync(CancellationToken cancellationToken)
    {
        // Serializable is BEGIN IMMEDIATE: what is missing is read under the lock.
        var transaction = await db.Database.BeginTransactionAsync(IsolationLevel.Serializable, cancellationToken)
            .ConfigureAwait(false);
        await using var rollback = transaction.ConfigureAwait(false);
        if (await HasStaleLockAsync(cancellationToken).ConfigureAwait(false))
        {
            Log.StaleLock(logger, StaleLock);
            await ExecuteAsync($"""DROP TABLE "{StaleLock}" """, cancellationToken).ConfigureAwait(false);
        }

        var applied = (await db.Database.GetAppliedMigrationsAsync(cancellationToken).ConfigureAwait(false)).ToHashSet();
        var migrator = db.GetService<IMigrator>();
        var before = Migration.InitialDatabase;
        foreach (var migration in db.Database.GetMigrations())
        {
            if (!applied.Contains(migration))
            {
                Log.Applying(logger, migration);
                var script = migrator.GenerateScript(before, migration, MigrationsSqlGenerationOptions.NoTransactions);
                await ExecuteAsync(script, cancellationToken).ConfigureAwait(false);
            }

            before = migration;
        }

        var orphans = await db.Database.SqlQueryRaw<string>("""SELECT "table" AS "Value" FROM pragma_foreign_key_check""")
            .ToListAsync(cancellationToken).ConfigureAwait(false);
        if (orphans is [var table, ..])
        {
            throw new InvalidDataException(
                $"the upgrade of the database would leave rows of table '{table}' without the rows they refer to");
        }

        await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
    }

    private async Task<bool> HasStaleLockAsync(CancellationToken cancellationToken) =>
        await db.Database.SqlQuery<string>($"SELECT name AS Value FROM sqlite_master WHERE name = {StaleLock}")
            .AnyAsync(cancellationToken).ConfigureAwait(false)
        && await db.Database.SqlQueryRaw<long>($"""SELECT "Id" AS "Value" FROM "{StaleLock}" """)
            .AnyAsync(cancellationToken).ConfigureAwait(false);

    // A plain command: EF Core's own takes braces, which migrations may contain, for parameters.
    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        var command = db.Database.GetDbConnection().CreateCommand();
        await using var disposal = command.ConfigureAwait(false);
#pragma warning disable CA2100 // constants and the migrations of this program
        command.CommandText = sql;
#pragma warning restore CA2100
        command.CommandTimeout = db.Database.GetCommandTimeout() ?? command.CommandTimeout;
        command.Transaction = db.Database.CurrentTransaction?.GetDbTransaction();
        await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "applying migration {Migration}")]
        public static partial void Applying(ILogger logger, string migration);

        [LoggerMessage(2, LogLevel.Warning, "removing the lock {Table} that an interrupted upgrade has left")]
        public static partial void StaleLock(ILogger logger, string table);
    }
}
