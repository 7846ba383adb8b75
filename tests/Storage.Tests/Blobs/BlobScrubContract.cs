using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;
using Registry.Storage.Tests.Metadata;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class SqliteBlobScrubTests(TestDatabases databases) : BlobScrubContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresBlobScrubTests(TestDatabases databases)
    : BlobScrubContract(databases, DatabaseKind.Postgres);

public abstract class BlobScrubContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);
    private static readonly ScrubOptions Report = new(ReadsData: true, RemovesOrphans: false, Grace);

    [Fact]
    public async Task Ten_orphans_three_missing_and_one_damaged_are_reported_and_nothing_is_changed()
    {
        using var directory = new TempDirectory();
        using var store = Store("s1", directory.File("s1"));
        var keys = new List<BlobKey>();
        for (var i = 0; i < 6; i++)
        {
            keys.Add((await UploadAsync(store, 300_000 + i)).Key);
        }

        Assert.Empty((await ScrubAsync(store, Report)).Findings);
        for (var i = 0; i < 10; i++)
        {
            await WriteAsync(store, new BlobKey(Images.NewId(), 1), [1, 2, 3]);
        }

        Delete(directory, keys[0], "data");
        Delete(directory, keys[1], "index");
        await store.DeleteAsync(keys[2], Cancellation);
        Flip(directory, keys[3], 150_000);
        var before = Files(directory);

        for (var round = 0; round < 2; round++)
        {
            var report = await ScrubAsync(store, Report);
            Assert.Equal(10, report.Counts[ScrubProblem.Orphan]);
            Assert.Equal(3, report.Counts[ScrubProblem.Missing]);
            Assert.Equal(1, report.Counts[ScrubProblem.Damaged]);
            Assert.Equal(14, report.Findings.Count);
            Assert.Equal(6, report.Blobs);
            Assert.Equal(keys[3].ImageId, report.Findings.Single(f => f.Problem == ScrubProblem.Damaged).ImageId);
            Assert.Equal(before, Files(directory));
            Assert.Equal(4, await CountDamagedAsync());
        }

        Flip(directory, keys[3], 150_000);
        Assert.DoesNotContain((await ScrubAsync(store, Report)).Findings, f => f.Problem == ScrubProblem.Damaged);
        Assert.Equal(3, await CountDamagedAsync());
    }

    [Fact]
    public async Task Told_to_it_removes_old_orphans_and_keeps_every_row()
    {
        using var directory = new TempDirectory();
        using var store = Store("s1", directory.File("s1"));
        var kept = await UploadAsync(store, 1000);
        var missing = await UploadAsync(store, 1000);
        await store.DeleteAsync(missing.Key, Cancellation);
        await WriteAsync(store, new BlobKey(Images.NewId(), 1), [1]);
        await using var halfWritten = await store.BeginAsync(new(Images.NewId(), 1), null, Cancellation);
        var apply = Report with { RemovesOrphans = true };

        Database.Time.SetUtcNow(DateTimeOffset.UtcNow);
        Assert.All((await ScrubAsync(store, apply)).Findings, finding => Assert.False(finding.IsRemoved));
        Database.Time.Advance(Grace * 2);
        Assert.Equal(2, (await ScrubAsync(store, apply)).Findings.Count(finding => finding.IsRemoved));
        var left = Assert.Single((await ScrubAsync(store, apply)).Findings);
        Assert.Equal((ScrubProblem.Missing, missing.ImageId), (left.Problem, left.ImageId));
        Assert.NotNull(await store.StatAsync(kept.Key, Cancellation));
        await using var db = await Database.OpenAsync();
        Assert.Equal(2, await db.Locations.CountAsync(Cancellation));
    }

    [Fact]
    public async Task A_copy_has_the_same_bytes_and_is_a_location_of_the_image()
    {
        using var directory = new TempDirectory();
        using var first = Store("s1", directory.File("s1"));
        using var second = Store("s2", directory.File("s2"));
        var source = await UploadAsync(first, 5_000_000);
        var copies = Database.Get<CopyLedger>();

        var intent = await copies.BeginAsync(source, "s2", "me", Grace, Cancellation);
        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + (Grace * 3));
        await BlobCopy.RunAsync(first, source, second, intent!.Key, _ => { }, Cancellation);
        Assert.Empty(await Database.Reaper.ReapAsync(second, Grace, Cancellation)); // it is promised
        Assert.Equal(CommitOutcome.Committed, await copies.CommitAsync(intent!, source, Cancellation));
        Assert.Equal(CommitOutcome.Committed, await copies.CommitAsync(intent!, source, Cancellation));
        Assert.Empty(await Database.Reaper.ReapAsync(second, Grace, Cancellation));
        Assert.Null(await copies.BeginAsync(source, "s2", "me", Grace, Cancellation));
        Assert.Empty((await ScrubAsync(second, Report)).Findings);
        Assert.Equal(
            await File.ReadAllBytesAsync(Path.Combine(Blob(directory, "s1", source.Key), "data"), Cancellation),
            await File.ReadAllBytesAsync(Path.Combine(Blob(directory, "s2", intent.Key), "data"), Cancellation));
    }

    [Fact]
    public async Task The_next_attempt_at_a_copy_need_not_wait_for_the_lease_of_the_one_before()
    {
        using var directory = new TempDirectory();
        using var first = Store("s1", directory.File("s1"));
        using var second = Store("s2", directory.File("s2"));
        var source = await UploadAsync(first, 1000);
        var copies = Database.Get<CopyLedger>();
        var killed = await copies.BeginAsync(source, "s2", "job 1", Grace, Cancellation);
        var next = await copies.BeginAsync(source, "s2", "job 1", Grace, Cancellation);
        Assert.NotEqual(killed!.Key, next!.Key);
        await BlobCopy.RunAsync(first, source, second, next.Key, _ => { }, Cancellation);
        Assert.Equal(CommitOutcome.Fenced, await copies.CommitAsync(killed, source, Cancellation));
        Assert.Equal(CommitOutcome.Committed, await copies.CommitAsync(next!, source, Cancellation));
        Assert.Empty((await ScrubAsync(second, Report)).Findings);
    }

    [Fact]
    public async Task A_copy_of_an_image_deleted_meanwhile_is_fenced()
    {
        using var directory = new TempDirectory();
        using var first = Store("s1", directory.File("s1"));
        var source = await UploadAsync(first, 1000);
        var copies = Database.Get<CopyLedger>();
        var intent = await copies.BeginAsync(source, "s2", "me", Grace, Cancellation);
        var other = await Assert.ThrowsAsync<RegistryException>(
            () => copies.BeginAsync(source, "s2", "you", Grace, Cancellation));
        Assert.Equal("copy_under_way", other.Reason);
        await Database.Editor.DeleteAsync(source.ImageId, Cancellation);
        Assert.Equal(CommitOutcome.Fenced, await copies.CommitAsync(intent!, source, Cancellation));
        var gone = await Assert.ThrowsAsync<RegistryException>(
            () => copies.BeginAsync(source, "s2", "me", Grace, Cancellation));
        Assert.Equal(ErrorCode.Gone, gone.Code);
    }

    [Fact]
    public async Task Damaged_bytes_are_not_copied()
    {
        using var directory = new TempDirectory();
        using var first = Store("s1", directory.File("s1"));
        using var second = Store("s2", directory.File("s2"));
        var source = await UploadAsync(first, 300_000);
        Flip(directory, source.Key, 200_000);
        await Assert.ThrowsAsync<BlobCorruptException>(
            () => BlobCopy.RunAsync(first, source, second, source.Key, _ => { }, Cancellation));
        Assert.Null(await second.StatAsync(source.Key, Cancellation));
        Assert.Empty(await second.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    private static DirectoryBlobStore Store(string id, string path) =>
        new(id, path, NullLogger<DirectoryBlobStore>.Instance);

    private static string Blob(TempDirectory directory, string store, BlobKey key) =>
        Path.Combine(directory.File(store), key.ImageId, $"{key.Generation}");

    private static void Delete(TempDirectory directory, BlobKey key, string part) =>
        File.Delete(Path.Combine(Blob(directory, "s1", key), part));

    private static void Flip(TempDirectory directory, BlobKey key, int offset)
    {
        using var file = new FileStream(Path.Combine(Blob(directory, "s1", key), "data"), FileMode.Open);
        file.Position = offset;
        var value = file.ReadByte();
        file.Position = offset;
        file.WriteByte((byte)(value ^ 4));
    }

    private static string[] Files(TempDirectory directory) =>
        [.. Directory.GetFiles(directory.Path, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];

    private Task<ScrubReport> ScrubAsync(DirectoryBlobStore store, ScrubOptions options) =>
        Database.Get<BlobScrub>().RunAsync(store, options, (_, _) => { }, Cancellation);

    private async Task<int> CountDamagedAsync()
    {
        await using var db = await Database.OpenAsync();
        return await db.Locations.CountAsync(l => l.DamagedAt != null, Cancellation);
    }

    private async Task<ImageLocation> UploadAsync(DirectoryBlobStore store, int length)
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var intent = await Database.Ledger.BeginAsync(image.Id, store.Id, "me", Grace, null, Cancellation);
        var data = new byte[length];
        new Random(length).NextBytes(data);
        var root = await WriteAsync(store, intent.Key, data);
        await Database.Ledger.CommitAsync(
            intent,
            Images.Result() with { Size = length, IndexLength = root.IndexLength, IndexDigest = root.IndexDigest },
            Cancellation);
        await using var db = await Database.OpenAsync();
        return await db.Locations.AsNoTracking().SingleAsync(l => l.ImageId == image.Id, Cancellation);
    }

    private static async Task<BlobIndexSummary> WriteAsync(DirectoryBlobStore store, BlobKey key, byte[] data)
    {
        await using var writer = await store.BeginAsync(key, data.Length, Cancellation);
        var index = new BlobIndexWriter((page, token) => writer.AppendAsync(BlobPart.Index, page, token));
        await index.AppendAsync(data, Cancellation);
        await writer.AppendAsync(BlobPart.Data, data, Cancellation);
        var root = await index.FinishAsync(Cancellation);
        await writer.CommitAsync(Cancellation);
        return root;
    }
}
