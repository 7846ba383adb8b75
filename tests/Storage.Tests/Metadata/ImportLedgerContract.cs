using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteImportLedgerTests(TestDatabases databases)
    : ImportLedgerContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresImportLedgerTests(TestDatabases databases)
    : ImportLedgerContract(databases, DatabaseKind.Postgres);

public abstract class ImportLedgerContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);
    private static readonly IReadOnlyDictionary<string, string> NoProperties = new Dictionary<string, string>();

    private StagingLedger Staging => Database.Get<StagingLedger>();

    private ImportLedger Imports => Database.Get<ImportLedger>();

    [Fact]
    public async Task Staged_bytes_become_the_images_with_all_their_copies_at_once()
    {
        var image = await RegisterAsync();
        var staged = await StageAsync(image.Id, isJob: false);
        Assert.Equal(ImageStatus.Uploading, (await LoadAsync(image.Id)).Status);
        var job = await StartAsync(image.Id);
        var copy = await Imports.BeginCopyAsync(staged, "s2", "me", Lease, Cancellation);
        Assert.Empty((await LoadAsync(image.Id)).Locations);

        Assert.Null(await Imports.CommitAsync(staged, Outcome(["s1", "s2"], copy), Cancellation));
        Assert.Null(await Imports.CommitAsync(staged, Outcome(["s1", "s2"], copy), Cancellation));
        var loaded = await LoadAsync(image.Id);
        Assert.Equal(ImageStatus.Active, loaded.Status);
        Assert.Equal(["s1", "s2"], loaded.Locations.Select(l => l.StoreId).Order());
        Assert.Equal(
            [staged.Key, copy.Key], loaded.Locations.OrderBy(l => l.StoreId).Select(location => location.Key));
        Assert.NotEqual(staged.Key, copy.Key);
        Assert.Null(await Staging.FindAsync(image.Id, Cancellation));
        await using var db = await Database.OpenAsync();
        Assert.Empty(await db.UploadIntents.ToListAsync(Cancellation));
        Assert.Null(await Imports.AbandonAsync(image.Id, job.Id, "import", "x", "x", NoProperties, Cancellation));
        Assert.Equal(ImageStatus.Active, (await LoadAsync(image.Id)).Status);
    }

    [Fact]
    public async Task A_location_remembers_where_its_bytes_came_from()
    {
        var image = await RegisterAsync();
        await StartAsync(image.Id);
        var staged = await StageAsync(image.Id, isJob: true);
        var outcome = Outcome(["s1"]) with { Origin = new LocationOrigin("https://x/y", """{"a":"b"}""") };
        await Imports.CommitAsync(staged, outcome, Cancellation);
        var location = Assert.Single((await LoadAsync(image.Id)).Locations);
        Assert.Equal(("https://x/y", """{"a":"b"}"""), (location.Url, location.Metadata));
    }

    [Fact]
    public async Task An_image_has_one_import_at_a_time()
    {
        var image = await RegisterAsync();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            try
            {
                await StartAsync(image.Id);
                return "started";
            }
            catch (RegistryException refusal)
            {
                return refusal.Code.ToString();
            }
        })));
        Assert.Equal(1, outcomes.Count(outcome => outcome == "started"));
        Assert.Equal(7, outcomes.Count(outcome => outcome == nameof(ErrorCode.Conflict)));
    }

    [Fact]
    public async Task Who_took_over_fences_off_who_was_there_before()
    {
        var image = await RegisterAsync();
        await StartAsync(image.Id);
        var zombie = await Staging.BeginAsync(image.Id, true, "s1", "dead", Lease, 3, Cancellation);
        var staged = await StageAsync(image.Id, isJob: true);
        Assert.False(await Database.Ledger.RenewAsync(zombie, Lease, Cancellation));
        Assert.Equal(
            CommitOutcome.Fenced, (await Staging.CommitAsync(zombie, Describe(zombie), Cancellation)).Outcome);
        Assert.Equal(staged.Key, (await Staging.FindAsync(image.Id, Cancellation))!.Key);

        // A copy that was promised before the bytes were staged anew is of bytes that are gone.
        var copy = await Imports.BeginCopyAsync(staged, "s2", "me", Lease, Cancellation);
        var anew = await StageAsync(image.Id, isJob: true);
        var refused = await Assert.ThrowsAsync<RegistryException>(
            () => Imports.CommitAsync(anew, Outcome(["s1", "s2"], copy), Cancellation));
        Assert.Equal(ErrorCode.Fenced, refused.Code);
        Assert.Equal(ImageStatus.Importing, (await LoadAsync(image.Id)).Status);
    }

    [Fact]
    public async Task An_expired_upload_of_an_import_leaves_the_import_alone_and_that_of_a_client_does_not()
    {
        var imported = await RegisterAsync();
        await StartAsync(imported.Id);
        await Staging.BeginAsync(imported.Id, true, "s1", "dead", Lease, 3, Cancellation);
        var staging = await RegisterAsync();
        await Staging.BeginAsync(staging.Id, false, "s1", "dead", Lease, 3, Cancellation);
        var waiting = await RegisterAsync();
        await StageAsync(waiting.Id, isJob: false);

        Assert.Equal(2, (await Database.Ledger.ReclaimAsync(exceptOwner: "me", Cancellation)).Count);
        Assert.Equal(ImageStatus.Importing, (await LoadAsync(imported.Id)).Status);
        Assert.Equal(ImageStatus.Queued, (await LoadAsync(staging.Id)).Status);
        Assert.Equal(ImageStatus.Uploading, (await LoadAsync(waiting.Id)).Status);
    }

    [Fact]
    public async Task An_import_that_is_given_up_leaves_the_image_queued_and_says_why()
    {
        var image = await RegisterAsync();
        var staged = await StageAsync(image.Id, isJob: false);
        var job = await StartAsync(image.Id);
        var properties = new Dictionary<string, string> { [ImportProperties.Failed] = "s1" };
        Assert.Null(await Imports.AbandonAsync(
            image.Id, Guid.NewGuid(), "import", "x", "x", properties, Cancellation)); // another's
        var dropped = await Imports.AbandonAsync(image.Id, job.Id, "import", "why", "Because.", properties, Cancellation);
        Assert.Equal(staged.Key, dropped!.Key);
        var loaded = await LoadAsync(image.Id);
        Assert.Equal(
            (ImageStatus.Queued, "why", "Because.", null), (loaded.Status, loaded.FailureCode, loaded.FailureReason, loaded.Size));
        Assert.Equal("s1", loaded.FindProperty(ImportProperties.Failed));
    }

    [Fact]
    public async Task Formats_that_change_meanwhile_are_judged_again()
    {
        var image = await RegisterAsync();
        var staged = await StageAsync(image.Id, isJob: false);
        await StartAsync(image.Id);
        await Database.Editor.ChangeAsync(image.Id, Viewer.System, i => i.DiskFormat = "raw", Cancellation);
        var refused = await Assert.ThrowsAsync<RegistryException>(
            () => Imports.CommitAsync(staged, Outcome(["s1"]), Cancellation));
        Assert.Equal(ErrorCode.Busy, refused.Code);
    }

    [Fact]
    public async Task A_delete_frees_what_is_staged_and_ends_the_import()
    {
        var image = await RegisterAsync();
        var staged = await StageAsync(image.Id, isJob: false);
        await StartAsync(image.Id);
        var freed = await Database.Editor.DeleteAsync(image.Id, Cancellation);
        Assert.Equal(staged.Key, Assert.Single(freed).Key);
        Assert.Null(await Staging.FindAsync(image.Id, Cancellation));
        var refused = await Assert.ThrowsAsync<RegistryException>(
            () => Imports.CommitAsync(staged, Outcome(["s1"]), Cancellation));
        Assert.Equal(ErrorCode.Fenced, refused.Code);
    }

    private static StagedBlob Describe(UploadIntent intent) => new(
        intent.ImageId, intent.Generation, intent.StoreId, 3, 68, new byte[32], "c", "sha512", "h", null, "received", "{}");

    private static ImportOutcome Outcome(IReadOnlyList<string> stores, params UploadIntent[] copies) => new()
    {
        Result = Images.Result(),
        Judged = ("qcow2", "bare"),
        StoreIds = stores,
        Copies = copies,
        Properties = NoProperties,
    };

    private async Task<StagedBlob> StageAsync(string imageId, bool isJob)
    {
        var intent = await Staging.BeginAsync(imageId, isJob, "s1", "me", Lease, 3, Cancellation);
        var (outcome, _) = await Staging.CommitAsync(intent, Describe(intent), Cancellation);
        Assert.Equal(CommitOutcome.Committed, outcome);
        return Describe(intent);
    }

    private Task<Job> StartAsync(string imageId) => Imports.StartAsync(
        imageId, new JobOrder("import", "{}"), (image, _, _) => image.BeginImport(Images.Now), Cancellation);

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
}
