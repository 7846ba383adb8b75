using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;
using Registry.Storage.Tests.Metadata;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class SqliteBlobRepairTests(TestDatabases databases) : BlobRepairContract(databases, DatabaseKind.Sqlite)
{
    private readonly TempDirectory _directory = new();

    protected override Task<IBlobStore> OpenAsync(string id) =>
        Task.FromResult<IBlobStore>(
            new DirectoryBlobStore(id, _directory.File(id), NullLogger<DirectoryBlobStore>.Instance));

    protected override void Close() => _directory.Dispose();
}

public sealed class PostgresBlobRepairTests(TestDatabases databases, TestS3 s3)
    : BlobRepairContract(databases, DatabaseKind.Postgres)
{
    protected override async Task<IBlobStore> OpenAsync(string id) => await s3.OpenStoreAsync(id);
}

/// <summary>Repairs replace exactly the location that was found damaged, and leave nothing of an attempt that was
/// overtaken.</summary>
public abstract class BlobRepairContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(10);

    private CopyLedger Copies => Database.Get<CopyLedger>();

    private BlobRemoval Removal => Database.Get<BlobRemoval>();

    private LocationHealth Health => Database.Get<LocationHealth>();

    [Fact]
    public async Task A_repair_replaces_the_damaged_location_and_its_old_blob_can_be_removed()
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var before = await LocationAsync(damaged);
        var intent = await RepairAsync(second, source, first, damaged);
        Assert.Equal(CommitOutcome.Committed, await Copies.CommitRepairAsync(intent, damaged, Cancellation));
        Assert.Equal(CommitOutcome.Committed, await Copies.CommitRepairAsync(intent, damaged, Cancellation));

        var now = await LocationAsync(damaged);
        Assert.Equal((intent.Key, null, before.CreatedAt), (now.Key, now.DamagedAt, now.CreatedAt));
        Assert.False(await Removal.RemoveAsync(first, intent.Key, Cancellation));
        Assert.True(await Removal.RemoveAsync(first, damaged.Key, Cancellation));
        Assert.Null(await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation));
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_location_found_whole_meanwhile_stays_and_the_repair_removes_its_own_blob(bool isLate)
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var intent = isLate ? await RepairAsync(second, source, first, damaged) : null;
        Assert.True(await Health.ClearAsync(damaged.Key, "s1", Cancellation));
        if (intent is not null)
        {
            Assert.Equal(CommitOutcome.Fenced, await Copies.CommitRepairAsync(intent, damaged, Cancellation));
            Assert.True(await Removal.RemoveAsync(first, intent.Key, Cancellation));
        }

        Assert.Null(await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation));
        Assert.False(await Removal.RemoveAsync(first, damaged.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task A_repair_that_was_overtaken_removes_only_its_own_blob()
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var paused = await RepairAsync(second, source, first, damaged);
        var next = await RepairAsync(second, source, first, damaged);
        Assert.NotEqual(paused.Key, next.Key);
        Assert.Equal(CommitOutcome.Committed, await Copies.CommitRepairAsync(next, damaged, Cancellation));
        Assert.Equal(CommitOutcome.Fenced, await Copies.CommitRepairAsync(paused, damaged, Cancellation));
        await Database.Ledger.AbandonAsync(paused, "x", "x", Cancellation);
        Assert.True(await Removal.RemoveAsync(first, paused.Key, Cancellation));
        Assert.False(await Removal.RemoveAsync(first, next.Key, Cancellation));
        Assert.True(await Removal.RemoveAsync(first, damaged.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task A_location_of_a_later_generation_is_not_replaced_though_it_is_damaged_too()
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var late = await RepairAsync(second, source, first, damaged);
        await using (var db = await Database.OpenAsync())
        {
            await db.Locations.Where(l => l.ImageId == damaged.ImageId && l.StoreId == "s1")
                .ExecuteUpdateAsync(set => set.SetProperty(l => l.Generation, 77), Cancellation);
        }

        Assert.Equal(CommitOutcome.Fenced, await Copies.CommitRepairAsync(late, damaged, Cancellation));
        var now = await LocationAsync(damaged);
        Assert.Equal((77, true), (now.Generation, now.DamagedAt is not null));
        Assert.True(await Removal.RemoveAsync(first, late.Key, Cancellation));
    }

    [Fact]
    public async Task A_location_that_is_removed_meanwhile_does_not_come_back()
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var intent = await RepairAsync(second, source, first, damaged);
        await Database.Editor.RemoveLocationAsync(damaged.ImageId, "s1", _ => true, Cancellation);
        Assert.Equal(CommitOutcome.Fenced, await Copies.CommitRepairAsync(intent, damaged, Cancellation));
        Assert.Null(await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation));
        Assert.True(await Removal.RemoveAsync(first, intent.Key, Cancellation));
        Assert.True(await Removal.RemoveAsync(first, damaged.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, second);
    }

    [Fact]
    public async Task An_image_that_is_deleted_meanwhile_keeps_nothing()
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var intent = await RepairAsync(second, source, first, damaged);
        await Database.Editor.DeleteAsync(damaged.ImageId, Cancellation);
        Assert.Equal(CommitOutcome.Fenced, await Copies.CommitRepairAsync(intent, damaged, Cancellation));
        Assert.Null(await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation));
        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + (Lease * 2));
        await Database.Reaper.ReapAsync(first, TimeSpan.Zero, Cancellation);
        await Database.Reaper.ReapAsync(second, TimeSpan.Zero, Cancellation);
        Assert.Empty(await first.ListAsync(Cancellation).ToListAsync(Cancellation));
        Assert.Empty(await second.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    [Fact]
    public async Task The_last_location_is_replaced_too_when_its_source_is_removed_meanwhile()
    {
        var (first, second, damaged, source) = await DamagedAsync();
        var intent = await RepairAsync(second, source, first, damaged);
        await using (var db = await Database.OpenAsync())
        {
            await db.Locations.Where(l => l.ImageId == source.ImageId && l.StoreId == "s2")
                .ExecuteDeleteAsync(Cancellation);
        }

        Assert.Equal(CommitOutcome.Committed, await Copies.CommitRepairAsync(intent, damaged, Cancellation));
        Assert.True(await Removal.RemoveAsync(first, damaged.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, first);
    }

    [Fact]
    public async Task A_project_at_its_limit_can_be_repaired_and_a_repair_counts_nothing()
    {
        var (_, _, damaged, source) = await DamagedAsync();
        await using var db = await Database.OpenAsync();
        await db.Locations.Where(l => l.ImageId == source.ImageId)
            .ExecuteUpdateAsync(set => set.SetProperty(l => l.DataLength, TestDatabase.Quota / 2), Cancellation);
        var owner = (await db.Images.SingleAsync(i => i.Id == source.ImageId, Cancellation)).Owner;
        Assert.NotNull(owner);
        Assert.Equal(TestDatabase.Quota, (await ProjectUsage.MeasureAsync(db, owner, Cancellation)).StoredBytes);
        var intent = await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation);
        Assert.Equal(0, intent!.ReservedBytes);
        Assert.Equal(CommitOutcome.Committed, await Copies.CommitRepairAsync(intent, damaged, Cancellation));
        Assert.Equal(TestDatabase.Quota, (await ProjectUsage.MeasureAsync(db, owner, Cancellation)).StoredBytes);
    }

    [Fact]
    public async Task A_copy_under_way_to_the_store_keeps_a_repair_by_another_job_waiting()
    {
        var (_, _, damaged, _) = await DamagedAsync();
        Assert.NotNull(await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation));
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => Copies.BeginRepairAsync(damaged, "job 2", Lease, Cancellation));
        Assert.Equal(CopyLedger.CopyUnderWay, refusal.Reason);
    }

    [Fact]
    public async Task A_thousandth_finding_queues_no_second_repair_and_a_stale_one_queues_none()
    {
        var (_, _, damaged, source) = await DamagedAsync(isMarked: false);
        var stale = damaged.Key with { Generation = damaged.Generation + 100 };
        Assert.False(await Health.MarkAsync(stale, "s1", Repair(damaged), Cancellation));
        Assert.Equal(0, await CountJobsAsync());
        var news = await Task.WhenAll(Enumerable.Range(0, 8).Select(
            _ => Health.MarkAsync(damaged.Key, "s1", Repair(damaged), Cancellation)));
        Assert.Single(news, true);
        Assert.Equal(1, await CountJobsAsync());
        await Health.MarkAsync(source.Key, "s2", repair: null, Cancellation); // a store that takes no bytes
        Assert.Equal(1, await CountJobsAsync());
    }

    [Fact]
    public async Task An_image_without_a_whole_location_raises_one_event_for_each_marking_and_queues_no_repair()
    {
        var (_, _, damaged, source) = await DamagedAsync(isMarked: false);
        var health = new LocationHealth(
            Database.Get<IDbContextFactory<RegistryDb>>(), Database.Time, new EventSelection([]));
        await health.MarkAsync(damaged.Key, "s1", repair: null, Cancellation);
        Assert.Empty(await EventsAsync());
        for (var finding = 0; finding < 3; finding++)
        {
            await health.MarkAsync(source.Key, "s2", Repair(source), Cancellation);
            await health.MarkAsync(damaged.Key, "s1", Repair(damaged), Cancellation);
        }

        var told = Assert.Single(await EventsAsync());
        Assert.Equal((LocationHealth.Damaged, source.ImageId), (told.Type, told.Subject));
        using var data = JsonDocument.Parse(told.Data);
        Assert.Equal("s1,s2", data.RootElement.GetProperty("damaged").GetString());
        Assert.Equal(0, await CountJobsAsync());

        await health.ClearAsync(source.Key, "s2", Cancellation);
        await health.MarkAsync(source.Key, "s2", Repair(source), Cancellation);
        Assert.Equal(2, (await EventsAsync()).Count);
        var quiet = new LocationHealth(
            Database.Get<IDbContextFactory<RegistryDb>>(), Database.Time, new EventSelection(["image.damaged"]));
        await quiet.ClearAsync(source.Key, "s2", Cancellation);
        await quiet.MarkAsync(source.Key, "s2", Repair(source), Cancellation);
        Assert.Equal(2, (await EventsAsync()).Count);
    }

    protected abstract Task<IBlobStore> OpenAsync(string id);

    private static JobOrder Repair(ImageLocation location) =>
        new("repair", "{}") { ImageId = location.ImageId, UniqueKey = $"repair:{location.ImageId}:{location.StoreId}" };

    private async Task<int> CountJobsAsync()
    {
        await using var db = await Database.OpenAsync();
        return await db.Jobs.CountAsync(Cancellation);
    }

    private async Task<IReadOnlyList<OutboxEvent>> EventsAsync()
    {
        await using var db = await Database.OpenAsync();
        return await db.Events.AsNoTracking().ToListAsync(Cancellation);
    }

    private async Task<ImageLocation> LocationAsync(ImageLocation location)
    {
        await using var db = await Database.OpenAsync();
        return await db.Locations.AsNoTracking().SingleAsync(
            l => l.ImageId == location.ImageId && l.StoreId == location.StoreId, Cancellation);
    }

    // The blob of an attempt at a repair, which is not committed in the database yet.
    private async Task<UploadIntent> RepairAsync(
        IBlobStore from, ImageLocation source, IBlobStore to, ImageLocation damaged)
    {
        var intent = await Copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation);
        await BlobCopy.RunAsync(from, source, to, intent!.Key, _ => { }, Cancellation);
        return intent;
    }

    // An image in two stores; the location in the first is marked as damaged.
    private async Task<(IBlobStore First, IBlobStore Second, ImageLocation Damaged, ImageLocation Source)> DamagedAsync(
        bool isMarked = true)
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var uploaded = await UploadAsync(first);
        var intent = await Copies.BeginAsync(uploaded, "s2", "copy", Lease, Cancellation);
        await BlobCopy.RunAsync(first, uploaded, second, intent!.Key, _ => { }, Cancellation);
        await Copies.CommitAsync(intent, uploaded, Cancellation);
        if (isMarked)
        {
            Assert.True(await Health.MarkAsync(uploaded.Key, "s1", repair: null, Cancellation));
        }

        await using var db = await Database.OpenAsync();
        var locations = await db.Locations.AsNoTracking().Where(l => l.ImageId == uploaded.ImageId)
            .OrderBy(l => l.StoreId).ToListAsync(Cancellation);
        return (first, second, locations[0], locations[1]);
    }

    // Every location has its bytes and no mark, and the stores have nothing else.
    private async Task RequireWholeAsync(string imageId, params IBlobStore[] stores)
    {
        await using var db = await Database.OpenAsync();
        var locations = await db.Locations.AsNoTracking().Where(l => l.ImageId == imageId).ToListAsync(Cancellation);
        Assert.Equal(stores.Select(store => store.Id), locations.Select(l => l.StoreId).Order());
        foreach (var location in locations)
        {
            Assert.Null(location.DamagedAt);
            var store = stores.Single(one => one.Id == location.StoreId);
            var blob = await VerifiedBlob.OpenAsync(store, location, Cancellation);
            var bytes = new byte[blob.Length];
            Assert.Equal(bytes.Length, await blob.ReadAsync(0, bytes, Cancellation));
            var stored = await store.ListAsync(Cancellation).ToListAsync(Cancellation);
            Assert.Equal(location.Key, Assert.Single(stored).Key);
        }
    }

    private async Task<ImageLocation> UploadAsync(IBlobStore store)
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var intent = await Database.Ledger.BeginAsync(image.Id, store.Id, "me", Lease, null, Cancellation);
        await using (var writer = await store.BeginAsync(intent.Key, 1, Cancellation))
        {
            var index = new BlobIndexWriter((page, token) => writer.AppendAsync(BlobPart.Index, page, token));
            await index.AppendAsync(new byte[] { 7 }, Cancellation);
            await writer.AppendAsync(BlobPart.Data, new byte[] { 7 }, Cancellation);
            var root = await index.FinishAsync(Cancellation);
            await writer.CommitAsync(Cancellation);
            await Database.Ledger.CommitAsync(
                intent,
                Images.Result() with { Size = 1, IndexLength = root.IndexLength, IndexDigest = root.IndexDigest },
                Cancellation);
        }

        await using var db = await Database.OpenAsync();
        return await db.Locations.AsNoTracking().SingleAsync(l => l.ImageId == image.Id, Cancellation);
    }
}
