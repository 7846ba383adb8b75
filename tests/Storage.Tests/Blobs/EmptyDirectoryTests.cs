using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;
using Registry.Storage.Tests.Metadata;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

/// <summary>What a deletion leaves that is killed between two steps.</summary>
public sealed class EmptyDirectoryTests(TestDatabases databases) : DatabaseContract(databases, DatabaseKind.Sqlite)
{
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);
    private readonly TempDirectory _directory = new();

    protected override void Close() => _directory.Dispose();

    [Fact]
    public async Task An_image_directory_without_blobs_is_reported_by_a_scrub_and_removed_by_the_reaper()
    {
        using var store = new DirectoryBlobStore("s1", _directory.Path, NullLogger<DirectoryBlobStore>.Instance);
        var empty = Directory.CreateDirectory(_directory.File(Images.NewId())).FullName;
        var filled = Path.GetDirectoryName(Directory.CreateDirectory(
            Path.Combine(_directory.File(Images.NewId()), "odd")).FullName)!; // not a blob's: for people to look at
        Directory.CreateDirectory(_directory.File("not-an-image"));
        var scrub = Database.Get<BlobScrub>();
        var look = new ScrubOptions(ReadsData: false, RemovesOrphans: false, Grace);

        Database.Time.SetUtcNow(DateTimeOffset.UtcNow);
        await Database.Reaper.ReapAsync(store, Grace, Cancellation);
        Assert.True(Directory.Exists(empty)); // a writer may be about to fill it

        Database.Time.Advance(Grace * 2);
        var finding = Assert.Single((await scrub.RunAsync(store, look, (_, _) => { }, Cancellation)).Findings);
        Assert.Equal(
            (ScrubProblem.Orphan, Path.GetFileName(empty), false), (finding.Problem, finding.ImageId, finding.IsRemoved));
        Assert.True(Directory.Exists(empty));

        await Database.Reaper.ReapAsync(store, Grace, Cancellation);
        Assert.False(Directory.Exists(empty));
        Assert.True(Directory.Exists(filled) && Directory.Exists(_directory.File("not-an-image")));
        Assert.Empty((await scrub.RunAsync(store, look, (_, _) => { }, Cancellation)).Findings);
    }

    [Fact]
    public async Task A_scrub_that_is_told_to_removes_it_too()
    {
        using var store = new DirectoryBlobStore("s1", _directory.Path, NullLogger<DirectoryBlobStore>.Instance);
        var empty = Directory.CreateDirectory(_directory.File(Images.NewId())).FullName;
        Database.Time.SetUtcNow(DateTimeOffset.UtcNow + (Grace * 2));
        var report = await Database.Get<BlobScrub>().RunAsync(
            store, new ScrubOptions(ReadsData: false, RemovesOrphans: true, Grace), (_, _) => { }, Cancellation);
        Assert.True(Assert.Single(report.Findings).IsRemoved);
        Assert.False(Directory.Exists(empty));
    }
}
