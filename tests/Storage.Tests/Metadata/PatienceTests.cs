using Microsoft.EntityFrameworkCore;
using Npgsql;
using Registry.Storage.Metadata;

namespace Registry.Storage.Tests.Metadata;

public sealed class PatienceTests(TestDatabases databases)
{
    [Theory]
    [InlineData("Host=h", 5, 4)]
    [InlineData("Host=h;timeout=7;CommandTimeout=50", 7, 50)]
    [InlineData("Host=h;Command Timeout=60", 5, 60)]
    public void A_database_that_is_cut_off_is_given_up_soon_unless_the_operator_wants_it_otherwise(
        string said, int connect, int statement)
    {
        var used = Used(said);
        Assert.Equal((connect, statement), (used.Timeout, used.CommandTimeout));
    }

    [Fact]
    public void Statements_are_planned_once_a_connection_and_connections_are_few_unless_the_operator_wants_it_otherwise()
    {
        var usual = Used("Host=h");
        Assert.Equal((100, true, 4), (usual.MaxAutoPrepare, usual.NoResetOnClose, usual.MinPoolSize));
        Assert.InRange(usual.MaxPoolSize, 16, 100);
        var said = Used("Host=h;Max Auto Prepare=0;No Reset On Close=false;Minimum Pool Size=1;Maximum Pool Size=2");
        Assert.Equal((0, false, 1, 2), (said.MaxAutoPrepare, said.NoResetOnClose, said.MinPoolSize, said.MaxPoolSize));
        Assert.Equal(3, Used("Host=h;MaxPoolSize=3").MinPoolSize);
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

    private static NpgsqlConnectionStringBuilder Used(string said)
    {
        var builder = new DbContextOptionsBuilder<RegistryDb>();
        DatabaseDialect.Use(builder, new() { Kind = DatabaseKind.Postgres, ConnectionString = said });
        using var db = new RegistryDb(builder.Options);
        return new NpgsqlConnectionStringBuilder(db.Database.GetConnectionString());
    }
}
