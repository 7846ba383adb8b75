using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteDatabasePurgeTests(TestDatabases databases)
    : DatabasePurgeContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresDatabasePurgeTests(TestDatabases databases)
    : DatabasePurgeContract(databases, DatabaseKind.Postgres);

public abstract class DatabasePurgeContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Month = TimeSpan.FromDays(30);

    private DatabasePurge Purge => Database.Get<DatabasePurge>();

    // By the clock that a purge goes by.
    private DateTimeOffset Now =>
        Database.Kind == DatabaseKind.Sqlite ? Database.Time.GetUtcNow() : TimeProvider.System.GetUtcNow();

    [Fact]
    public async Task What_was_deleted_long_ago_goes_and_its_id_stays_taken()
    {
        var (old, recent, alive) = (await DeletedAsync(40), await DeletedAsync(20), Images.Queued());
        await Database.Editor.CreateAsync(alive, Cancellation);
        Assert.Equal(new PurgedRows(1, 0), await Purge.RunAsync(Month, rowsMax: null, Cancellation));
        Assert.Equal(new PurgedRows(0, 0), await Purge.RunAsync(Month, rowsMax: null, Cancellation));

        await using var db = await Database.OpenAsync();
        Assert.Equal(
            new[] { recent, alive.Id }.Order(), (await db.Images.Select(i => i.Id).ToListAsync(Cancellation)).Order());
        foreach (var id in new[] { old, recent, alive.Id })
        {
            var refusal = await Assert.ThrowsAsync<RegistryException>(
                () => Database.Editor.CreateAsync(Image.Create(id, "p", Images.Now), Cancellation));
            Assert.Equal(ErrorCode.DuplicateId, refusal.Code);
            Assert.Null(await Database.Get<AdoptionLedger>().BeginAsync(
                id, "p", "s", "worker", TimeSpan.FromMinutes(1), 1, Cancellation));
        }

        Assert.False(await db.Images.AnyAsync(i => i.Id == old, Cancellation)); // the attempt left nothing
    }

    [Fact]
    public async Task Jobs_that_ended_long_ago_go()
    {
        var queue = Database.Get<JobQueue>();
        foreach (var _ in Enumerable.Range(0, 3))
        {
            await queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        }

        List<Guid> ended = [];
        foreach (var (worker, days) in new[] { ("w1", 40), ("w2", 20) })
        {
            var job = await queue.LeaseAsync(["copy"], worker, TimeSpan.FromMinutes(1), Cancellation);
            await queue.CompleteAsync(job!.Lease, default, "{}", Cancellation);
            DateTimeOffset? at = Now.AddDays(-days);
            await using var change = await Database.OpenAsync();
            await change.Jobs.Where(j => j.Id == job.Id)
                .ExecuteUpdateAsync(set => set.SetProperty(j => j.EndedAt, at), Cancellation);
            ended.Add(job.Id);
        }

        Assert.Equal(new PurgedRows(0, 1), await Purge.RunAsync(Month, rowsMax: null, Cancellation));
        await using var db = await Database.OpenAsync();
        var left = await db.Jobs.Select(j => j.Id).ToListAsync(Cancellation);
        Assert.Equal(2, left.Count);
        Assert.DoesNotContain(ended[0], left);
    }

    [Fact]
    public async Task No_more_rows_go_than_were_asked_for()
    {
        foreach (var _ in Enumerable.Range(0, 5))
        {
            await DeletedAsync(40);
        }

        Assert.Equal(new PurgedRows(2, 0), await Purge.RunAsync(Month, rowsMax: 2, Cancellation));
        Assert.Equal(new PurgedRows(3, 0), await Purge.RunAsync(Month, rowsMax: 1000, Cancellation));
    }

    [Fact]
    public async Task Purges_that_run_at_once_share_the_work_and_no_id_is_ever_free()
    {
        List<string> ids = [];
        foreach (var _ in Enumerable.Range(0, 40))
        {
            ids.Add(await DeletedAsync(40));
        }

        var creating = ids.Select(id => Task.Run(() => Assert.ThrowsAsync<RegistryException>(
            () => Database.Editor.CreateAsync(Image.Create(id, "p", Images.Now), Cancellation))));
        var purging = Enumerable.Range(0, 3).Select(_ => Task.Run(
            () => Purge.RunAsync(Month, rowsMax: null, Cancellation))).ToList();
        Assert.All(await Task.WhenAll(creating), refusal => Assert.Equal(ErrorCode.DuplicateId, refusal.Code));
        Assert.Equal(40, (await Task.WhenAll(purging)).Sum(purged => purged.Images));
        await using var db = await Database.OpenAsync();
        Assert.Equal((0, 40), (
            await db.Images.CountAsync(Cancellation), await db.Tombstones.CountAsync(t => ids.Contains(t.Id), Cancellation)));
    }

    private async Task<string> DeletedAsync(int daysAgo)
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        await Database.Editor.DeleteAsync(image.Id, Cancellation);
        DateTimeOffset? at = Now.AddDays(-daysAgo);
        await using var db = await Database.OpenAsync();
        await db.Images.Where(i => i.Id == image.Id)
            .ExecuteUpdateAsync(set => set.SetProperty(i => i.DeletedAt, at), Cancellation);
        return image.Id;
    }
}
