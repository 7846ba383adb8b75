using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteRepairBoundTests(TestDatabases databases) : RepairBoundContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresRepairBoundTests(TestDatabases databases)
    : RepairBoundContract(databases, DatabaseKind.Postgres);

/// <summary>However many blobs of a store are found damaged, a bounded number of repairs is queued at a time.</summary>
public abstract class RepairBoundContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private const int Damaged = LocationHealth.RepairsMax + 10;

    private LocationHealth Health => Database.Get<LocationHealth>();

    [Fact]
    public async Task A_store_whose_blobs_are_all_gone_queues_so_many_repairs_and_the_others_as_these_end()
    {
        var keys = new List<BlobKey>();
        for (var i = 0; i < Damaged; i++)
        {
            keys.Add(await AddAsync("gone", "whole"));
        }

        var alone = await AddAsync("gone"); // nothing to repair it from
        foreach (var key in keys.Append(alone).Concat(keys))
        {
            await Health.MarkAsync(key, "gone", Order(key.ImageId), Cancellation);
        }

        Assert.Equal(LocationHealth.RepairsMax, await CountAsync());
        Assert.Equal(0, await Health.QueueRepairsAsync("gone", l => Order(l.ImageId), Cancellation));
        Assert.Equal(0, await Health.QueueRepairsAsync("whole", l => Order(l.ImageId), Cancellation));
        for (var i = 0; i < 4; i++)
        {
            var job = await Database.Get<JobQueue>().LeaseAsync(["repair"], $"w{i}", TimeSpan.FromMinutes(1), Cancellation);
            Assert.True(await Database.Get<JobQueue>().CompleteAsync(job!.Lease, default, null, Cancellation));
        }

        // Those that ended are not asked for again, though their blobs are still marked.
        Assert.Equal(4, await Health.QueueRepairsAsync("gone", l => Order(l.ImageId), Cancellation));
        Assert.Equal(LocationHealth.RepairsMax, await CountAsync());
        await using var db = await Database.OpenAsync();
        Assert.Equal(LocationHealth.RepairsMax + 4, await db.Jobs.Select(j => j.ImageId).Distinct().CountAsync(Cancellation));
        Assert.False(await db.Jobs.AnyAsync(j => j.ImageId == alone.ImageId, Cancellation));
    }

    private static JobOrder Order(string imageId) => new("repair", "{}") { ImageId = imageId, UniqueKey = imageId };

    private async Task<int> CountAsync()
    {
        await using var db = await Database.OpenAsync();
        return await db.Jobs.CountAsync(j => j.EndedAt == null, Cancellation);
    }

    private async Task<BlobKey> AddAsync(params string[] stores)
    {
        var image = Images.Active();
        await Database.Editor.CreateAsync(image, Cancellation);
        var key = new BlobKey(image.Id, 1);
        await using var db = await Database.OpenAsync();
        db.Locations.AddRange(stores.Select(
            store => new ImageLocation(key, store, 3, 68, new byte[32], Database.Time.GetUtcNow())));
        await db.SaveChangesAsync(Cancellation);
        return key;
    }
}
