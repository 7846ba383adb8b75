using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteAdoptionLedgerTests(TestDatabases databases)
    : AdoptionLedgerContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresAdoptionLedgerTests(TestDatabases databases)
    : AdoptionLedgerContract(databases, DatabaseKind.Postgres);

public abstract class AdoptionLedgerContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);
    private static readonly DateTimeOffset Long = new(2019, 3, 4, 5, 6, 7, TimeSpan.Zero);
    private readonly string _id = Images.NewId();

    private AdoptionLedger Adoptions => Database.Get<AdoptionLedger>();

    [Fact]
    public async Task An_image_is_there_with_its_bytes_and_its_own_times_or_not_at_all()
    {
        var intent = await BeginAsync();
        Assert.NotNull(intent);
        Assert.Null(await FindAsync());
        Assert.True(await Database.Ledger.RenewAsync(intent, Lease, Cancellation));

        Assert.Equal(CommitOutcome.Committed, await CommitAsync(intent));
        var image = await FindAsync();
        Assert.NotNull(image);
        Assert.Equal(ImageStatus.Deactivated, image.Status);
        Assert.Equal((Long, Long.AddDays(1)), (image.CreatedAt, image.UpdatedAt));
        Assert.InRange(image.Generation, intent.Generation, long.MaxValue); // a copy gets a later one
        var location = Assert.Single(image.Locations);
        Assert.Equal((intent.Key, "s1", 3L, 68L), (location.Key, location.StoreId, location.DataLength, location.IndexLength));
        Assert.Equal(MemberStatus.Accepted, Assert.Single(image.Members).Status);
        Assert.Null(await BeginAsync());
        await using var db = await Database.OpenAsync();
        Assert.Empty(await db.UploadIntents.ToListAsync(Cancellation));
    }

    [Fact]
    public async Task An_adoption_that_was_killed_is_in_nobodys_way_and_never_comes_back()
    {
        var killed = await BeginAsync();
        var next = await BeginAsync();
        Assert.True(next!.Generation > killed!.Generation);
        Assert.Equal(CommitOutcome.Committed, await CommitAsync(next));

        var late = await Assert.ThrowsAsync<RegistryException>(() => CommitAsync(killed));
        Assert.Equal(ErrorCode.DuplicateId, late.Code);
        await using (var db = await Database.OpenAsync())
        {
            await db.UploadIntents.ExecuteUpdateAsync(
                set => set.SetProperty(i => i.ExpiresAt, DateTimeOffset.UnixEpoch), Cancellation);
        }

        Assert.Equal(killed.Key, Assert.Single(await Database.Ledger.ReclaimAsync(null, Cancellation)).Key);
        Assert.Equal(CommitOutcome.Fenced, await CommitAsync(killed));
        Assert.Equal(next.Generation, Assert.Single((await FindAsync())!.Locations).Generation);
    }

    [Fact]
    public async Task Of_eight_who_adopt_one_image_one_has_it()
    {
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            try
            {
                return await BeginAsync() is { } intent && await CommitAsync(intent) == CommitOutcome.Committed;
            }
            catch (RegistryException refusal) when (refusal.Code is ErrorCode.DuplicateId or ErrorCode.Conflict)
            {
                return false;
            }
        })));
        Assert.Equal(1, outcomes.Count(won => won));
        Assert.Single((await FindAsync())!.Locations);
    }

    [Fact]
    public async Task A_tombstone_keeps_its_id()
    {
        var image = Image.Create(_id, "p", Long);
        await Database.Editor.CreateAsync(image, Cancellation);
        await Database.Editor.DeleteAsync(_id, Cancellation);
        Assert.Null(await BeginAsync());
    }

    [Fact]
    public async Task What_is_adopted_needs_room_like_an_upload()
    {
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => BeginAsync(TestDatabase.Quota + 1));
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);

        var intent = await BeginAsync(TestDatabase.Quota);
        Assert.Equal(CommitOutcome.Committed, await CommitAsync(intent!, TestDatabase.Quota));
        var other = await Adoptions.BeginAsync(Images.NewId(), "p", "s1", "me", Lease, 0, Cancellation);
        refusal = await Assert.ThrowsAsync<RegistryException>(() => Adoptions.CommitAsync(
            other!, () => Make(other!.ImageId, 1), Root, Cancellation)); // grew since it began
        Assert.Equal(ErrorCode.QuotaExceeded, refusal.Code);
        Assert.True(await Database.Ledger.AbandonAsync(other!, "x", "x", Cancellation));
    }

    private static BlobIndexSummary Root => new(68, new byte[32]);

    private Task<UploadIntent?> BeginAsync(long bytes = 3) =>
        Adoptions.BeginAsync(_id, "p", "s1", "me", Lease, bytes, Cancellation);

    private Task<CommitOutcome> CommitAsync(UploadIntent intent, long bytes = 3) =>
        Adoptions.CommitAsync(intent, () => Make(_id, bytes), Root, Cancellation);

    private static Image Make(string id, long bytes)
    {
        var image = Image.Create(id, "p", Long);
        image.DiskFormat = "raw";
        image.ContainerFormat = "bare";
        image.AddMember("q", Long).Answer(MemberStatus.Accepted, Long);
        image.Activate(Images.Result() with { Size = bytes }, Long.AddDays(1));
        image.Deactivate(Long.AddDays(1));
        return image;
    }

    private async Task<Image?> FindAsync()
    {
        await using var db = await Database.OpenAsync();
        return await ImageQueries.FindAsync(db, _id, Viewer.System, tracking: false, withMembers: true, Cancellation);
    }
}
