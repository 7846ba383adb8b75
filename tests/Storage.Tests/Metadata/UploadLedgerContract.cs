using Microsoft.EntityFrameworkCore;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteUploadLedgerTests(TestDatabases databases)
    : UploadLedgerContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresUploadLedgerTests(TestDatabases databases)
    : UploadLedgerContract(databases, DatabaseKind.Postgres);

public abstract class UploadLedgerContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly Viewer Owner = new("p", IsAdmin: false);
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    private UploadLedger Ledger => Database.Ledger;

    [Fact]
    public async Task An_upload_makes_the_image_active_and_says_where_its_bytes_are()
    {
        var image = await RegisterAsync();
        var intent = await BeginAsync(image.Id);
        Assert.Equal(1, intent.Generation);
        Assert.Equal(ImageStatus.Saving, (await LoadAsync(image.Id)).Status);

        Assert.Equal(CommitOutcome.Committed, await Ledger.CommitAsync(intent, Images.Result(), Cancellation));
        var loaded = await LoadAsync(image.Id);
        Assert.Equal(ImageStatus.Active, loaded.Status);
        Assert.Equal((3L, 10L, "c", "sha512", "h"),
            (loaded.Size, loaded.VirtualSize, loaded.Checksum, loaded.HashAlgorithm, loaded.HashValue));
        var location = Assert.Single(loaded.Locations);
        Assert.Equal(
            (intent.Key, "s1", 3L, 68L), (location.Key, location.StoreId, location.DataLength, location.IndexLength));
        Assert.Empty(await IntentsAsync());
    }

    [Fact]
    public async Task A_commit_asked_again_answers_the_same()
    {
        var intent = await BeginAsync((await RegisterAsync()).Id);
        await Ledger.CommitAsync(intent, Images.Result(), Cancellation);
        Assert.Equal(CommitOutcome.Committed, await Ledger.CommitAsync(intent, Images.Result(), Cancellation));
        Assert.False(await Ledger.AbandonAsync(intent, "x", "x", Cancellation));
        Assert.Equal(ImageStatus.Active, (await LoadAsync(intent.ImageId)).Status);
    }

    [Fact]
    public async Task Of_sixteen_uploads_that_begin_at_once_one_wins()
    {
        var image = await RegisterAsync();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
        {
            try
            {
                await BeginAsync(image.Id);
                return "began";
            }
            catch (RegistryException refusal)
            {
                Assert.Equal("Image status transition from saving to saving is not allowed", refusal.Message);
                return refusal.Code.ToString();
            }
        })));
        Assert.Equal(1, outcomes.Count(outcome => outcome == "began"));
        Assert.Equal(15, outcomes.Count(outcome => outcome == nameof(ErrorCode.InvalidStatusTransition)));
        Assert.Single(await IntentsAsync());
    }

    [Fact]
    public async Task A_commit_after_the_upload_was_reclaimed_is_fenced()
    {
        var image = await RegisterAsync();
        var zombie = await BeginAsync(image.Id);
        Assert.Single(await Ledger.ReclaimAsync(exceptOwner: "other process", Cancellation));
        var winner = await BeginAsync(image.Id);
        Assert.Equal(2, winner.Generation);

        Assert.False(await Ledger.RenewAsync(zombie, Lease, Cancellation));
        Assert.Equal(CommitOutcome.Fenced, await Ledger.CommitAsync(zombie, Images.Result(), Cancellation));
        Assert.False(await Ledger.AbandonAsync(zombie, "x", "x", Cancellation));
        Assert.Equal(ImageStatus.Saving, (await LoadAsync(image.Id)).Status);
        Assert.Equal(CommitOutcome.Committed, await Ledger.CommitAsync(winner, Images.Result(), Cancellation));
        Assert.Equal(winner.Key, Assert.Single((await LoadAsync(image.Id)).Locations).Key);
    }

    [Fact]
    public async Task A_reclaimed_image_is_queued_and_says_why()
    {
        var image = await RegisterAsync();
        await BeginAsync(image.Id);
        Assert.Empty(await Ledger.ReclaimAsync(exceptOwner: "me", Cancellation));
        Assert.Single(await Ledger.ReclaimAsync(exceptOwner: "you", Cancellation));
        var loaded = await LoadAsync(image.Id);
        Assert.Equal((ImageStatus.Queued, UploadLedger.LeaseExpired), (loaded.Status, loaded.FailureCode));
    }

    [Fact]
    public async Task Only_a_lease_that_ran_out_is_reclaimed()
    {
        var dead = await Ledger.BeginAsync((await RegisterAsync()).Id, "s1", "me", TimeSpan.Zero, null, Cancellation);
        var alive = await BeginAsync((await RegisterAsync()).Id);
        var renewed = await Ledger.BeginAsync(
            (await RegisterAsync()).Id, "s1", "me", TimeSpan.Zero, null, Cancellation);
        Assert.True(await Ledger.RenewAsync(renewed, Lease, Cancellation));
        await PassAsync(TimeSpan.FromMilliseconds(20));

        var reclaimed = Assert.Single(await Ledger.ReclaimAsync(exceptOwner: null, Cancellation));
        Assert.Equal(dead.Id, reclaimed.Id);
        Assert.Equal(ImageStatus.Saving, (await LoadAsync(alive.ImageId)).Status);
        Assert.Equal(ImageStatus.Saving, (await LoadAsync(renewed.ImageId)).Status);
    }

    [Fact]
    public async Task Many_who_reclaim_at_once_reclaim_each_upload_once()
    {
        for (var i = 0; i < 5; i++)
        {
            await BeginAsync((await RegisterAsync()).Id);
        }

        var reclaimed = await Task.WhenAll(Enumerable.Range(0, 6)
            .Select(_ => Task.Run(() => Ledger.ReclaimAsync(exceptOwner: "you", Cancellation))));
        Assert.Equal(5, reclaimed.Sum(list => list.Count));
    }

    [Fact]
    public async Task Changes_made_while_an_upload_commits_are_not_lost()
    {
        var image = await RegisterAsync();
        var intent = await BeginAsync(image.Id);
        var changes = Enumerable.Range(0, 12).Select(i => Task.Run(() => Database.Editor.ChangeAsync(
            image.Id,
            Owner,
            changed =>
            {
                changed.MinRam++;
                changed.SetProperty($"p{i}", "v");
                changed.Touch(Database.Time.GetUtcNow());
            },
            Cancellation)));
        var commit = Task.Run(() => Ledger.CommitAsync(intent, Images.Result(), Cancellation));
        await Task.WhenAll(changes.Append<Task>(commit));

        Assert.Equal(CommitOutcome.Committed, await commit);
        var loaded = await LoadAsync(image.Id);
        Assert.Equal((ImageStatus.Active, 12, 12), (loaded.Status, loaded.MinRam, loaded.Properties.Count));
        Assert.Equal(1 + 1 + 1 + 12, loaded.Revision);
    }

    [Fact]
    public async Task A_save_from_an_outdated_copy_fails_and_changes_nothing()
    {
        var image = await RegisterAsync();
        await using var db = await Database.OpenAsync();
        var outdated = await ImageQueries.FindAsync(db, image.Id, Owner, tracking: true, Cancellation);
        var intent = await BeginAsync(image.Id);
        outdated!.Name = "late";
        await Assert.ThrowsAsync<DbUpdateConcurrencyException>(() => db.SaveChangesAsync(Cancellation));
        Assert.Equal(CommitOutcome.Committed, await Ledger.CommitAsync(intent, Images.Result(), Cancellation));
        Assert.Null((await LoadAsync(image.Id)).Name);
    }

    [Fact]
    public async Task An_image_deleted_meanwhile_fences_its_upload()
    {
        var intent = await BeginAsync((await RegisterAsync()).Id);
        await Database.Editor.DeleteAsync(intent.ImageId, Cancellation);
        Assert.False(await Ledger.RenewAsync(intent, Lease, Cancellation));
        Assert.Equal(CommitOutcome.Fenced, await Ledger.CommitAsync(intent, Images.Result(), Cancellation));
        Assert.Equal(ImageStatus.Deleted, (await LoadAsync(intent.ImageId)).Status);
    }

    [Fact]
    public async Task Nothing_is_uploaded_to_an_image_that_is_not_there()
    {
        var unseen = await Assert.ThrowsAsync<RegistryException>(() =>
            Ledger.BeginAsync(Images.NewId(), "s1", "me", Lease, null, Cancellation));
        Assert.Equal(ErrorCode.NotFound, unseen.Code);
    }

    [Fact]
    public async Task A_commit_without_a_format_changes_nothing()
    {
        var image = Images.Queued();
        image.DiskFormat = null;
        await Database.Editor.CreateAsync(image, Cancellation);
        var intent = await BeginAsync(image.Id);
        var refusal = await Assert.ThrowsAsync<RegistryException>(
            () => Ledger.CommitAsync(intent, Images.Result(), Cancellation));
        Assert.Equal(ErrorCode.BadRequest, refusal.Code);
        Assert.Single(await IntentsAsync());
        Assert.True(await Ledger.AbandonAsync(intent, "format", "No format.", Cancellation));
    }

    private Task<UploadIntent> BeginAsync(string id) => Ledger.BeginAsync(id, "s1", "me", Lease, null, Cancellation);

    private async Task<Image> RegisterAsync()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        return image;
    }

    private async Task<Image> LoadAsync(string id)
    {
        await using var db = await Database.OpenAsync();
        return await db.Images.AsNoTracking().Include(i => i.Locations).Include(i => i.Properties)
            .SingleAsync(i => i.Id == id, Cancellation);
    }

    private async Task<List<UploadIntent>> IntentsAsync()
    {
        await using var db = await Database.OpenAsync();
        return await db.UploadIntents.AsNoTracking().ToListAsync(Cancellation);
    }

    // Leases are judged by the server's clock on PostgreSQL, by ours on SQLite.
    private Task PassAsync(TimeSpan time)
    {
        Database.Time.Advance(time);
        return Database.Kind == DatabaseKind.Sqlite ? Task.CompletedTask : Task.Delay(time, Cancellation);
    }
}
