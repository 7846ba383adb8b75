using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

/// <summary>Upgrades on SQLite.</summary>
public sealed class SqliteDatabaseMigratorTests(TestDatabases databases)
    : DatabaseMigratorContract(databases, DatabaseKind.Sqlite)
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_lock_that_a_killed_upgrade_left_is_removed(bool isPending)
    {
        if (isPending)
        {
            await DowngradeAsync(Migrations.Count - 2);
        }

        await ExecuteAsync("""
            CREATE TABLE IF NOT EXISTS "__EFMigrationsLock" ("Id" INTEGER NOT NULL PRIMARY KEY, "Timestamp" TEXT NOT NULL);
            INSERT OR REPLACE INTO "__EFMigrationsLock" VALUES (1, '2026-01-01 00:00:00')
            """);
        var elapsed = Stopwatch.StartNew();
        await Migrator().MigrateAsync(Cancellation).WaitAsync(TimeSpan.FromSeconds(20), Cancellation);

        Assert.InRange(elapsed.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Empty(await Migrator().PendingAsync(Cancellation));
        Assert.Equal(0L, await ScalarAsync("SELECT count(*) FROM sqlite_master WHERE name = '__EFMigrationsLock'"));
    }

    [Fact]
    public async Task An_upgrade_that_fails_in_its_last_migration_changes_nothing()
    {
        await DowngradeAsync(0);
        await ExecuteAsync("CREATE INDEX ix_jobs_owner_claimed_at ON images (id)"); // what the last migration makes
        var before = await SchemaAsync();

        await Assert.ThrowsAnyAsync<Exception>(() => Migrator().MigrateAsync(Cancellation));

        Assert.Equal(before, await SchemaAsync());
        Assert.Equal(1L, await ScalarAsync("PRAGMA foreign_keys"));
    }
}

/// <summary>Upgrades on PostgreSQL.</summary>
public sealed class PostgresDatabaseMigratorTests(TestDatabases databases)
    : DatabaseMigratorContract(databases, DatabaseKind.Postgres)
{
    [Fact]
    public async Task An_upgrade_waits_for_another_one_and_then_names_it()
    {
        await DowngradeAsync(Migrations.Count - 2);
        await using var other = new NpgsqlConnection(Database.Options.ConnectionString);
        await other.OpenAsync(Cancellation);
        await using (var locking = new NpgsqlCommand("select pg_advisory_lock(1380271945, 1)", other))
        {
            await locking.ExecuteNonQueryAsync(Cancellation);
        }

        var timeout = await Assert.ThrowsAsync<TimeoutException>(
            () => Migrator(TimeSpan.FromSeconds(1)).MigrateAsync(Cancellation));
        Assert.Contains($"backend {other.ProcessID} of client 127.0.0.1", timeout.Message, StringComparison.Ordinal);

        var waiting = Migrator().MigrateAsync(Cancellation);
        await Task.Delay(TimeSpan.FromSeconds(1), Cancellation);
        Assert.False(waiting.IsCompleted);
        await other.CloseAsync();
        NpgsqlConnection.ClearPool(other); // as a killed process: its session ends, and its lock with it
        await waiting.WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        Assert.Empty(await Migrator().PendingAsync(Cancellation));
    }
}

/// <summary>What every upgrade promises.</summary>
public abstract class DatabaseMigratorContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private readonly DatabaseKind _kind = kind;

    protected IReadOnlyList<string> Migrations { get; } = Names(kind);

    [Fact]
    public async Task Every_older_schema_is_upgraded_to_the_same_schema()
    {
        var expected = await SchemaAsync();
        for (var last = Migrations.Count - 2; last >= 0; last--)
        {
            await DowngradeAsync(last);
            await Migrator().MigrateAsync(Cancellation);
            Assert.Empty(await Migrator().PendingAsync(Cancellation));
            Assert.Equal(expected, await SchemaAsync());
        }
    }

    [Fact]
    public async Task A_negative_number_of_an_older_schema_becomes_zero()
    {
        const string insert =
            "INSERT INTO upload_intents (id, image_id, generation, store_id, owner, expires_at, reserved_bytes) VALUES";
        await DowngradeAsync(Migrations.Count - 2);
        await ExecuteAsync(_kind == DatabaseKind.Sqlite
            ? $"{insert} ('6F9619FF-8B86-D011-B42D-00CF4FC964FF', 'i', 1, 's', 'o', 0, -5)"
            : $"{insert} (gen_random_uuid(), 'i', 1, 's', 'o', now(), -5)");
        Assert.Equal(-5L, await ScalarAsync("SELECT reserved_bytes FROM upload_intents"));
        await Migrator().MigrateAsync(Cancellation);
        Assert.Equal(0L, await ScalarAsync("SELECT reserved_bytes FROM upload_intents"));
    }

    [Fact]
    public async Task A_schema_that_is_up_to_date_is_not_written_to()
    {
        var options = Database.Options with
        {
            ConnectionString = Database.Options.ConnectionString
                + (_kind == DatabaseKind.Sqlite ? ";Mode=ReadOnly" : ";Options=-c default_transaction_read_only=on"),
        };
        await using var readOnly = new TestDatabase(options);
        await readOnly.Get<DatabaseMigrator>().MigrateAsync(Cancellation);
        Assert.Empty(await readOnly.Get<DatabaseMigrator>().PendingAsync(Cancellation));
    }

    [Fact]
    public async Task Of_two_upgrades_at_the_same_time_one_does_the_work_and_both_succeed()
    {
        await DowngradeAsync(0);
        await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(() => Migrator().MigrateAsync(Cancellation))))
            .WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        Assert.Empty(await Migrator().PendingAsync(Cancellation));
    }

    protected DatabaseMigrator Migrator(TimeSpan? limit = null) => new(
        Database.Get<IDbContextFactory<RegistryDb>>(), TimeProvider.System, NullLogger<DatabaseMigrator>.Instance)
    {
        LockLimit = limit ?? TimeSpan.FromMinutes(1),
    };

    protected async Task DowngradeAsync(int last)
    {
        await using var db = await Database.OpenAsync();
        await db.GetService<IMigrator>().MigrateAsync(Migrations[last], Cancellation);
    }

    protected async Task ExecuteAsync(string sql)
    {
        await using var db = await Database.OpenAsync();
        await db.Database.ExecuteSqlRawAsync(sql, Cancellation);
    }

    protected async Task<object?> ScalarAsync(string sql)
    {
        await using var db = await Database.OpenAsync();
        await db.Database.OpenConnectionAsync(Cancellation);
        await using var command = db.Database.GetDbConnection().CreateCommand();
#pragma warning disable CA2100 // constants above
        command.CommandText = sql;
#pragma warning restore CA2100
        return await command.ExecuteScalarAsync(Cancellation);
    }

    protected async Task<IReadOnlyList<string>> SchemaAsync()
    {
        await using var db = await Database.OpenAsync();
        var lines = await db.Database.SqlQueryRaw<string>(_kind == DatabaseKind.Sqlite
            ? """
              SELECT type || ' ' || name || ' ' || tbl_name AS "Value" FROM sqlite_master
              WHERE name NOT LIKE 'sqlite_%'
              UNION SELECT m.name || '.' || c.name || ' ' || c.type || c."notnull" FROM sqlite_master m, pragma_table_info(m.name) c
              UNION SELECT name || ' checks ' || (length(sql) - length(replace(sql, 'CHECK', ''))) / 5 FROM sqlite_master
                WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
              """
            : """
              select 'index ' || indexdef as "Value" from pg_indexes where schemaname = 'public'
              union select table_name || '.' || column_name || ' ' || data_type || is_nullable from information_schema.columns
              where table_schema = 'public'
              union select 'constraint ' || conname || pg_get_constraintdef(oid) from pg_constraint where contype = 'c'
              """).ToListAsync(Cancellation);
        return [.. lines.Where(line => !line.Contains("__EFMigrationsLock", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)];
    }

    private static List<string> Names(DatabaseKind kind)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, new()
        {
            Kind = kind, ConnectionString = kind == DatabaseKind.Sqlite ? "Data Source=:memory:" : "Host=h",
        });
        using var db = new RegistryDb(builder.Options);
        return [.. db.Database.GetMigrations()];
    }
}
