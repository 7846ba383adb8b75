using Microsoft.EntityFrameworkCore;
using Npgsql;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

public sealed class PatienceTests(TestDatabases databases)
{
    [Theory]
    [InlineData("Host=h", 3, 4)]
    [InlineData("Host=h;timeout=7;CommandTimeout=50", 7, 50)]
    [InlineData("Host=h;Command Timeout=60", 3, 60)]
    public void A_database_that_is_cut_off_is_given_up_soon_unless_the_operator_wants_it_otherwise(
        string said, int connect, int statement)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, new() { Kind = DatabaseKind.Postgres, ConnectionString = said });
        using var db = new RegistryDb(builder.Options);
        var used = new NpgsqlConnectionStringBuilder(db.Database.GetConnectionString());
        Assert.Equal((connect, statement), (used.Timeout, used.CommandTimeout));
    }

    [Fact]
    public async Task A_migration_takes_what_it_takes()
    {
        await using var database = await databases.CreateAsync(DatabaseKind.Postgres);
        var hasty = new NpgsqlConnectionStringBuilder(database.Options.ConnectionString) { CommandTimeout = 1 };
        await using var migrated = new TestDatabase(database.Options with { ConnectionString = hasty.ConnectionString });
        await using var other = new NpgsqlConnection(database.Options.ConnectionString);
        await other.OpenAsync(TestContext.Current.CancellationToken);
        var transaction = await other.BeginTransactionAsync(TestContext.Current.CancellationToken);
        await using var locking = new NpgsqlCommand("""lock table "__EFMigrationsHistory" """, other);
        await locking.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);

        var migrating = migrated.Get<DatabaseMigrator>().MigrateAsync(TestContext.Current.CancellationToken);
        await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken);
        Assert.False(migrating.IsCompleted);
        await transaction.DisposeAsync();
        await migrating;
    }
}
