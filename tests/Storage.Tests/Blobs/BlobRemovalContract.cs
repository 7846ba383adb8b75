using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;
using Registry.Storage.Tests.Metadata;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class SqliteBlobRemovalTests(TestDatabases databases) : BlobRemovalContract(databases, DatabaseKind.Sqlite)
{
    private readonly TempDirectory _directory = new();

    protected override Task<IBlobStore> OpenAsync(string id) =>
        Task.FromResult<IBlobStore>(
            new DirectoryBlobStore(id, _directory.File(id), NullLogger<DirectoryBlobStore>.Instance));

    protected override void Close() => _directory.Dispose();
}

public sealed class PostgresBlobRemovalTests(TestDatabases databases, TestS3 s3)
    : BlobRemovalContract(databases, DatabaseKind.Postgres)
{
    protected override async Task<IBlobStore> OpenAsync(string id) => await s3.OpenStoreAsync(id);
}

/// <summary>Attempts that stop between two steps while others go through: no committed blob is ever removed, and nothing
/// stays that no step collects.</summary>
public abstract class BlobRemovalContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(10);

    private CopyLedger Copies => Database.Get<CopyLedger>();

    private BlobRemoval Removal => Database.Get<BlobRemoval>();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_copy_that_was_overtaken_removes_only_what_it_wrote_itself(bool isWhole)
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var source = await UploadAsync(first);
        var paused = await Copies.BeginAsync(source, "s2", "job 1", Lease, Cancellation);
        await using (var writer = await second.BeginAsync(paused!.Key, null, Cancellation))
        {
            await writer.AppendAsync(BlobPart.Data, new byte[] { 1 }, Cancellation);
            if (isWhole)
            {
                await writer.CommitAsync(Cancellation);
            }

            var copy = await CopyAsync(first, source, second, "job 1");
            Assert.NotEqual(paused.Key, copy);
            Assert.False(await Removal.RemoveAsync(second, copy, Cancellation));
        }

        Assert.Equal(CommitOutcome.Fenced, await Copies.CommitAsync(paused, source, Cancellation));
        await Database.Ledger.AbandonAsync(paused, "x", "x", Cancellation);
        Assert.True(await Removal.RemoveAsync(second, paused.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task A_reaper_that_slept_before_it_deletes_removes_nothing_that_was_committed_meanwhile()
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var source = await UploadAsync(first);
        var killed = await Copies.BeginAsync(source, "s2", "job 1", Lease, Cancellation);
        await WriteAsync(second, killed!.Key);
        await Database.Ledger.AbandonAsync(killed, "x", "x", Cancellation);
        var watched = new WatchedStore(second) { BeforeDelete = () => CopyAsync(first, source, second, "job 1") };

        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + Lease);
        var reaped = await Database.Reaper.ReapAsync(watched, TimeSpan.Zero, Cancellation);
        Assert.Null(watched.BeforeDelete);
        Assert.Equal(killed.Key, Assert.Single(reaped).Key);
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task A_scrub_that_slept_before_it_deletes_removes_nothing_that_was_committed_meanwhile()
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var source = await UploadAsync(first);
        var killed = await Copies.BeginAsync(source, "s2", "job 1", Lease, Cancellation);
        await WriteAsync(second, killed!.Key);
        await Database.Ledger.AbandonAsync(killed, "x", "x", Cancellation);
        var watched = new WatchedStore(second) { BeforeDelete = () => CopyAsync(first, source, second, "job 1") };

        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + Lease);
        var report = await Database.Get<BlobScrub>().RunAsync(
            watched, new ScrubOptions(ReadsData: false, RemovesOrphans: true, TimeSpan.Zero), (_, _) => { }, Cancellation);
        Assert.Null(watched.BeforeDelete);
        Assert.Equal(killed.Generation, Assert.Single(report.Findings, f => f.IsRemoved).Generation);
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task What_is_promised_when_it_is_listed_and_committed_when_it_is_looked_up_stays()
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var source = await UploadAsync(first);
        var intent = await Copies.BeginAsync(source, "s2", "job 1", Lease, Cancellation);
        await BlobCopy.RunAsync(first, source, second, intent!.Key, _ => { }, Cancellation);
        var watched = new WatchedStore(second)
        {
            AfterList = async () => Assert.Equal(
                CommitOutcome.Committed, await Copies.CommitAsync(intent, source, Cancellation)),
        };
        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + Lease);
        Assert.Empty(await Database.Reaper.ReapAsync(watched, TimeSpan.Zero, Cancellation));
        Assert.Null(watched.AfterList);
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task A_copy_to_a_store_that_the_image_is_just_deleted_from_stays()
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var source = await UploadAsync(first);
        await CopyAsync(first, source, second, "job 1");
        var removed = await Database.Editor.RemoveLocationAsync(source.ImageId, "s2", _ => true, Cancellation);
        var again = await CopyAsync(first, source, second, "job 2"); // before the first blob is deleted
        Assert.NotEqual(removed.Key, again);
        Assert.True(await Removal.RemoveAsync(second, removed.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, first, second);
    }

    [Fact]
    public async Task Staged_bytes_that_another_worker_has_made_the_images_own_stay()
    {
        var store = await OpenAsync("s1");
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var (staging, imports) = (Database.Get<StagingLedger>(), Database.Get<ImportLedger>());
        await imports.StartAsync(
            image.Id, new JobOrder("import", "{}"), (found, _, _) => found.BeginImport(Images.Now), Cancellation);
        var intent = await staging.BeginAsync(image.Id, isJob: true, "s1", "me", Lease, 3, Cancellation);
        await WriteAsync(store, intent.Key);
        var staged = new StagedBlob(
            intent.ImageId, intent.Generation, "s1", 1, 0, new byte[32], "c", "sha512", "h", null, "received", "{}");
        Assert.Equal(CommitOutcome.Committed, (await staging.CommitAsync(intent, staged, Cancellation)).Outcome);
        Assert.False(await Removal.RemoveAsync(store, staged.Key, Cancellation));
        await imports.CommitAsync(
            staged,
            new ImportOutcome
            {
                Result = Images.Result(), Judged = ("qcow2", "bare"), StoreIds = ["s1"], Copies = [],
                Properties = new Dictionary<string, string>(),
            },
            Cancellation);

        // The answer to the first was lost, and is asked for again.
        Assert.Equal(CommitOutcome.Committed, (await staging.CommitAsync(intent, staged, Cancellation)).Outcome);
        Assert.False(await Removal.RemoveAsync(store, staged.Key, Cancellation));
        Assert.NotNull(await store.StatAsync(staged.Key, Cancellation));
    }

    [Fact]
    public async Task Every_attempt_at_a_copy_has_a_generation_of_its_own()
    {
        var source = await UploadAsync(await OpenAsync("s1"));
        var seen = new HashSet<long> { source.Generation };
        foreach (var store in new[] { "s2", "s3", "s2", "s3" })
        {
            var intent = await Copies.BeginAsync(source, store, "job 1", Lease, Cancellation);
            Assert.True(seen.Add(intent!.Generation), $"{intent.Generation} is used twice");
        }

        await Database.Editor.DeleteAsync(source.ImageId, Cancellation);
        var gone = await Assert.ThrowsAsync<RegistryException>(
            () => Copies.BeginAsync(source, "s2", "job 1", Lease, Cancellation));
        Assert.Equal(ErrorCode.Gone, gone.Code);
    }

    [Fact]
    public async Task Of_two_jobs_that_copy_to_the_same_store_one_commits()
    {
        var (first, second) = (await OpenAsync("s1"), await OpenAsync("s2"));
        var source = await UploadAsync(first);
        var expired = await Copies.BeginAsync(source, "s2", "job 1", TimeSpan.Zero, Cancellation);
        await BlobCopy.RunAsync(first, source, second, expired!.Key, _ => { }, Cancellation);
        Database.Time.Advance(TimeSpan.FromMilliseconds(20));
        await Task.Delay(20, Cancellation); // the lease is judged by the server's clock on PostgreSQL
        await CopyAsync(first, source, second, "job 2");
        Assert.Equal(CommitOutcome.Fenced, await Copies.CommitAsync(expired, source, Cancellation));
        Assert.True(await Removal.RemoveAsync(second, expired.Key, Cancellation));
        await RequireWholeAsync(source.ImageId, first, second);
    }

    protected abstract Task<IBlobStore> OpenAsync(string id);

    private async Task<BlobKey> CopyAsync(IBlobStore from, ImageLocation source, IBlobStore to, string owner)
    {
        var intent = await Copies.BeginAsync(source, to.Id, owner, Lease, Cancellation);
        await BlobCopy.RunAsync(from, source, to, intent!.Key, _ => { }, Cancellation);
        Assert.Equal(CommitOutcome.Committed, await Copies.CommitAsync(intent, source, Cancellation));
        return intent.Key;
    }

    // Every location has its bytes, and the stores have nothing else.
    private async Task RequireWholeAsync(string imageId, params IBlobStore[] stores)
    {
        await using var db = await Database.OpenAsync();
        var locations = await db.Locations.AsNoTracking().Where(l => l.ImageId == imageId).ToListAsync(Cancellation);
        Assert.Equal(stores.Select(store => store.Id), locations.Select(l => l.StoreId).Order());
        foreach (var location in locations)
        {
            var store = stores.Single(one => one.Id == location.StoreId);
            var blob = await VerifiedBlob.OpenAsync(store, location, Cancellation);
            var bytes = new byte[blob.Length];
            Assert.Equal(bytes.Length, await blob.ReadAsync(0, bytes, Cancellation));
            Assert.Equal(location.Key, Assert.Single(await store.ListAsync(Cancellation).ToListAsync(Cancellation)).Key);
        }
    }

    private async Task<ImageLocation> UploadAsync(IBlobStore store)
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var intent = await Database.Ledger.BeginAsync(image.Id, store.Id, "me", Lease, null, Cancellation);
        var root = await WriteAsync(store, intent.Key);
        await Database.Ledger.CommitAsync(
            intent, Images.Result() with { Size = 1, IndexLength = root.IndexLength, IndexDigest = root.IndexDigest },
            Cancellation);
        await using var db = await Database.OpenAsync();
        return await db.Locations.AsNoTracking().SingleAsync(l => l.ImageId == image.Id, Cancellation);
    }

    private static async Task<BlobIndexSummary> WriteAsync(IBlobStore store, BlobKey key)
    {
        await using var writer = await store.BeginAsync(key, 1, Cancellation);
        var index = new BlobIndexWriter((page, token) => writer.AppendAsync(BlobPart.Index, page, token));
        await index.AppendAsync(new byte[] { 7 }, Cancellation);
        await writer.AppendAsync(BlobPart.Data, new byte[] { 7 }, Cancellation);
        var root = await index.FinishAsync(Cancellation);
        await writer.CommitAsync(Cancellation);
        return root;
    }
}
