using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteCounterTests(TestDatabases databases) : CounterContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresCounterTests(TestDatabases databases) : CounterContract(databases, DatabaseKind.Postgres);

/// <summary>No counter of the database can become negative, whatever the program has wrong.</summary>
public abstract class CounterContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    [Fact]
    public async Task Every_number_of_every_table_is_kept_from_being_negative()
    {
        await FillAsync();
        await using var db = await Database.OpenAsync();
        var counters = Counters(db).ToList();
        Assert.Contains(("upload_intents", "reserved_bytes"), counters);
        Assert.True(counters.Count >= 20, string.Join(", ", counters));
        foreach (var (table, column) in counters)
        {
#pragma warning disable EF1002 // names from the model
            Assert.NotEqual(0, await db.Database.ExecuteSqlRawAsync(
                $"update {table} set {column} = coalesce({column}, 0)", Cancellation));
            await Assert.ThrowsAnyAsync<Exception>(() => db.Database.ExecuteSqlRawAsync(
                $"update {table} set {column} = -1", Cancellation));
#pragma warning restore EF1002
        }
    }

    [Fact]
    public async Task A_reservation_of_less_than_nothing_is_refused_before_the_database()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Database.Ledger.BeginAsync(
            image.Id, "s", "me", TimeSpan.FromMinutes(1), -1, Cancellation));
    }

    private static IEnumerable<(string Table, string Column)> Counters(RegistryDb db) =>
        from table in db.GetService<IDesignTimeModel>().Model.GetEntityTypes()
        from column in table.GetProperties()
        let type = Nullable.GetUnderlyingType(column.ClrType) ?? column.ClrType
        where (type == typeof(int) || type == typeof(long)) && column.GetComputedColumnSql() is null
        select (table.GetTableName(), column.GetColumnName());

    // A row in each table that has numbers.
    private async Task FillAsync()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var intent = await Database.Ledger.BeginAsync(
            image.Id, "s", "me", TimeSpan.FromMinutes(1), 1, Cancellation);
        await Database.Get<JobQueue>().EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        await using var db = await Database.OpenAsync();
        db.Locations.Add(new ImageLocation(intent.Key, "other", 1, 1, new byte[32], Database.Time.GetUtcNow()));
        db.StagedBlobs.Add(new StagedBlob(image.Id, 1, "s", 1, 1, new byte[32], "", "", "", 1, "received", "{}"));
        db.Events.Add(OutboxEvent.Create("image.create", image.Id, "{}", Database.Time.GetUtcNow()));
        await db.SaveChangesAsync(Cancellation);
    }
}
