using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;
using Registry.Storage.Tests.Metadata;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class SqliteBlobReaperTests(TestDatabases databases) : BlobReaperContract(databases, DatabaseKind.Sqlite)
{
    private readonly TempDirectory _directory = new();

    protected override Task<IBlobStore> OpenAsync(string id) =>
        Task.FromResult<IBlobStore>(
            new DirectoryBlobStore(id, _directory.File(id), NullLogger<DirectoryBlobStore>.Instance));

    protected override void Close() => _directory.Dispose();
}

public sealed class PostgresBlobReaperTests(TestDatabases databases, TestS3 s3)
    : BlobReaperContract(databases, DatabaseKind.Postgres)
{
    protected override async Task<IBlobStore> OpenAsync(string id) => await s3.OpenStoreAsync(id);
}

public abstract class BlobReaperContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    [Fact]
    public async Task What_nothing_refers_to_goes_and_nothing_else()
    {
        var store = await OpenAsync("s1");
        using var closing = (IDisposable)store;
        var active = await UploadAsync(store, commit: true);
        var deleted = await UploadAsync(store, commit: true);
        var uploading = await UploadAsync(store, commit: false);
        var abandoned = await UploadAsync(store, commit: false);
        var stranger = new BlobKey(Images.NewId(), 1);
        await WriteAsync(store, stranger);
        await Database.Editor.DeleteAsync(deleted.ImageId, Cancellation);
        await Database.Ledger.AbandonAsync(abandoned, "x", "x", Cancellation);
        var next = await Database.Ledger.BeginAsync(abandoned.ImageId, "s1", "me", Grace, null, Cancellation);
        await WriteAsync(store, next.Key);
        await using var halfWritten = await store.BeginAsync(new(Images.NewId(), 1), null, Cancellation);

        Database.Time.SetUtcNow(DateTimeOffset.UtcNow);
        Assert.Empty(await Database.Reaper.ReapAsync(store, Grace, Cancellation));

        Database.Time.Advance(Grace * 2);
        var reaped = await Database.Reaper.ReapAsync(store, Grace, Cancellation);
        Assert.Equal(4, reaped.Count);
        Assert.Equivalent(
            new[] { deleted.Key, abandoned.Key, stranger }, reaped.Where(e => e.IsCommitted).Select(e => e.Key));
        var left = await store.ListAsync(Cancellation).Select(e => e.Key).ToListAsync(Cancellation);
        Assert.Equivalent(new[] { active.Key, uploading.Key, next.Key }, left);
        Assert.Empty(await Database.Reaper.ReapAsync(store, Grace, Cancellation));
    }

    [Fact]
    public async Task A_blob_of_the_same_name_in_another_store_is_garbage()
    {
        var other = await OpenAsync("s2");
        using var closing = (IDisposable)other;
        var intent = await UploadAsync(other, commit: true); // the intent says s1
        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + (Grace * 2));
        Assert.Equal(intent.Key, Assert.Single(await Database.Reaper.ReapAsync(other, Grace, Cancellation)).Key);
    }

    protected abstract Task<IBlobStore> OpenAsync(string id);

    private async Task<UploadIntent> UploadAsync(IBlobStore store, bool commit)
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var intent = await Database.Ledger.BeginAsync(image.Id, "s1", "me", Grace, null, Cancellation);
        await WriteAsync(store, intent.Key);
        if (commit)
        {
            await Database.Ledger.CommitAsync(intent, Images.Result(), Cancellation);
        }

        return intent;
    }

    private static async Task WriteAsync(IBlobStore store, BlobKey key)
    {
        await using var writer = await store.BeginAsync(key, null, Cancellation);
        await writer.AppendAsync(BlobPart.Data, new byte[] { 1 }, Cancellation);
        await writer.CommitAsync(Cancellation);
    }
}
