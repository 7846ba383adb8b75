using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Registry.Storage.Metadata;

/// <summary>Brings the database's schema up to date.</summary>
public sealed class DatabaseMigrator(
    IDbContextFactory<RegistryDb> databases, TimeProvider time, ILogger<DatabaseMigrator> logger)
{
    /// <summary>Maximum time of one statement: an index over millions of rows is built in minutes.</summary>
    private static readonly TimeSpan _statementLimit = TimeSpan.FromHours(1);

    /// <summary>Maximum time to wait while another process upgrades the database.</summary>
    internal TimeSpan LockLimit { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Applies every migration that is missing; does not write where none is. Several processes may call it at
    /// the same time: one does the work while the others wait.</summary>
    /// <remarks>A process that is killed while it migrates leaves a schema that the next call can continue from, and no
    /// lock that outlives it.</remarks>
    /// <exception cref="TimeoutException">Another process has held the lock on the schema for an hour.</exception>
    public async Task MigrateAsync(CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        db.Database.SetCommandTimeout(_statementLimit);
        try
        {
            if (db.Database.IsSqlite())
            {
                await new SqliteMigration(db, logger).RunAsync(cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await new PostgresMigration(db, time, LockLimit, logger).RunAsync(cancellationToken)
                    .ConfigureAwait(false);
            }
        }
        finally
        {
            db.Database.SetCommandTimeout((int?)null); // the context is pooled
        }
    }

    /// <summary>Names of the migrations that were applied and that this program does not know; empty unless the schema is
    /// newer.</summary>
    public async Task<IReadOnlyList<string>> UnknownAsync(CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        var applied = await db.Database.GetAppliedMigrationsAsync(cancellationToken).ConfigureAwait(false);
        return [.. applied.Except(db.Database.GetMigrations())];
    }

    /// <summary>Names of the migrations that are missing; empty when the schema is up to date.</summary>
    public async Task<IReadOnlyList<string>> PendingAsync(CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        return [.. await db.Database.GetPendingMigrationsAsync(cancellationToken).ConfigureAwait(false)];
    }
}
