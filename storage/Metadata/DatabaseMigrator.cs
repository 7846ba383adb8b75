using Microsoft.EntityFrameworkCore;

namespace Registry.Storage.Metadata;

/// <summary>Brings the database's schema up to date.</summary>
public sealed class DatabaseMigrator(IDbContextFactory<RegistryDb> databases)
{
    /// <summary>An index over millions of rows takes its time.</summary>
    private static readonly TimeSpan _statementLimit = TimeSpan.FromHours(1);

    /// <summary>Applies every migration that is missing. Replicas may start it at the same time: one does the
    /// work.</summary>
    public async Task MigrateAsync(CancellationToken cancellationToken)
    {
        var db = await databases.CreateDbContextAsync(cancellationToken).ConfigureAwait(false);
        await using var disposal = db.ConfigureAwait(false);
        db.Database.SetCommandTimeout(_statementLimit);
        db.Database.SetCommandTimeout(0); // an index over a million images takes what it takes; so does another replica
        await db.Database.MigrateAsync(cancellationToken).ConfigureAwait(false);
        if (db.Database.IsSqlite())
        {
            await SqliteSession.OptimizeAsync(db, cancellationToken).ConfigureAwait(false);
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
