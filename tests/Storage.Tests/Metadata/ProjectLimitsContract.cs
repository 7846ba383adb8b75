using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteProjectLimitsTests(TestDatabases databases)
    : ProjectLimitsContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresProjectLimitsTests(TestDatabases databases)
    : ProjectLimitsContract(databases, DatabaseKind.Postgres);

/// <summary>Limits that somebody else sets, as Glance keeps Keystone's.</summary>
public abstract class ProjectLimitsContract(TestDatabases databases, DatabaseKind kind)
    : DatabaseContract(databases, kind)
{
    private const long Mebibyte = 1 << 20;
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    private readonly Limits _limits = new();

    private IDbContextFactory<RegistryDb> Factory => Database.Get<IDbContextFactory<RegistryDb>>();

    private StorageQuota Quota => new(null, _limits);

    private UploadLedger Uploads => new(Factory, Quota, Database.Time, NullLogger<UploadLedger>.Instance);

    private StagingLedger Staging => new(Factory, Quota, Database.Time);

    private ImportLedger Imports => new(Factory, Quota, Database.Time);

    [Fact]
    public async Task As_many_images_as_the_limit_says_are_registered_however_many_are_tried_at_once()
    {
        _limits.Now = _limits.Now with { Images = 3 };
        var made = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(TryRegisterAsync)));
        Assert.Equal(3, made.Count(id => id is not null));
        await Database.Editor.DeleteAsync(made.First(id => id is not null)!, Cancellation);
        Assert.NotNull(await TryRegisterAsync());
        var refusal = await Assert.ThrowsAsync<RegistryException>(RegisterAsync);
        Assert.Equal((ErrorCode.QuotaExceeded, "image_count_total_exceeded"), (refusal.Code, refusal.Reason));
        Assert.Equal(
            "Project p is over a limit for [Resource image_count_total is over limit of 3 due to current usage 3 and delta 1]",
            refusal.Message);

        _limits.Now = _limits.Now with { Images = -1 };
        Assert.NotNull(await TryRegisterAsync());
        _limits.Now = _limits.Now with { Images = 0 };
        await Editor().CreateAsync(Images.Queued("somebody-else"), Cancellation); // whoever that is has limits of its own
        await Editor().CreateAsync(Images.Queued(null!), Cancellation);
    }

    [Fact]
    public async Task An_upload_of_unknown_length_begins_while_the_project_is_not_beyond_its_limit()
    {
        _limits.Now = _limits.Now with { StoredMebibytes = 1 };
        await UploadAsync(null, Mebibyte);
        await UploadAsync(null, Mebibyte); // at the limit, not beyond
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => UploadAsync(null, Mebibyte));
        Assert.Equal((ErrorCode.QuotaExceeded, "image_size_total_exceeded"), (refusal.Code, refusal.Reason));
        Assert.Contains("is over limit of 1 due to current usage 2 and delta 0", refusal.Message);
        _limits.Now = _limits.Now with { StoredMebibytes = 2 };
        await UploadAsync(null, Mebibyte);
    }

    [Fact]
    public async Task A_length_that_is_known_must_fit()
    {
        _limits.Now = _limits.Now with { StoredMebibytes = 3 };
        await UploadAsync(2 * Mebibyte, 2 * Mebibyte);
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => UploadAsync(2 * Mebibyte, 2 * Mebibyte));
        Assert.Contains("is over limit of 3 due to current usage 2 and delta 2", refusal.Message);
        await UploadAsync(Mebibyte, Mebibyte);
    }

    [Fact]
    public async Task What_uploads_under_way_have_received_counts()
    {
        _limits.Now = _limits.Now with { StoredMebibytes = 2 };
        var first = await BeginAsync(null);
        Assert.InRange(await Uploads.ReserveAsync(first, 4 * Mebibyte, Cancellation), 4 * Mebibyte, 8 * Mebibyte);
        await Assert.ThrowsAsync<RegistryException>(() => BeginAsync(null));
        await Uploads.AbandonAsync(first, "x", "x", Cancellation);
        await BeginAsync(null);
    }

    [Fact]
    public async Task So_many_images_get_their_bytes_at_once()
    {
        _limits.Now = _limits.Now with { Uploading = 1 };
        var staged = await StageAsync(Mebibyte);
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => BeginAsync(null));
        Assert.Equal("image_count_uploading_exceeded", refusal.Reason);
        refusal = await Assert.ThrowsAsync<RegistryException>(() => StageAsync(Mebibyte));
        Assert.Equal("image_count_uploading_exceeded", refusal.Reason);

        await ImportAsync(staged); // its own import is no further one
        await UploadAsync(null, Mebibyte);
    }

    [Fact]
    public async Task Staged_bytes_have_a_limit_of_their_own_and_an_import_needs_room_among_the_stored()
    {
        _limits.Now = _limits.Now with { StoredMebibytes = 3, StagedMebibytes = 4 };
        await UploadAsync(2 * Mebibyte, 2 * Mebibyte);
        var staged = await StageAsync(3 * Mebibyte);
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => StageAsync(2 * Mebibyte));
        Assert.Equal("image_stage_total_exceeded", refusal.Reason);

        refusal = await Assert.ThrowsAsync<RegistryException>(() => ImportAsync(staged));
        Assert.Equal("image_size_total_exceeded", refusal.Reason);
        Assert.Contains("is over limit of 3 due to current usage 2 and delta 3", refusal.Message);

        _limits.Now = _limits.Now with { StoredMebibytes = 5 };
        await CommitAsync(staged);
        await using var db = await Database.OpenAsync();
        var usage = await ProjectUsage.MeasureAsync(db, "p", Cancellation);
        Assert.Equal(new ProjectUsage(5 * Mebibyte, 0, 3, 0), usage); // and the one that could not be staged
    }

    [Fact]
    public async Task A_job_that_stages_anew_takes_the_place_of_what_was_staged()
    {
        _limits.Now = _limits.Now with { StagedMebibytes = 3, Uploading = 1 };
        var staged = await StageAsync(3 * Mebibyte);
        await StartAsync(staged);
        _limits.Now = _limits.Now with { Uploading = 0 };
        var again = await Staging.BeginAsync(
            staged.ImageId, isJob: true, "s1", "me", Lease, 3 * Mebibyte, Cancellation);
        Assert.Equal(3 * Mebibyte, again.ReservedBytes);
    }

    [Fact]
    public async Task Where_nobody_can_tell_nothing_begins()
    {
        var id = await RegisterAsync();
        _limits.IsAway = true;
        foreach (var refused in new Func<Task>[]
        {
            RegisterAsync,
            () => Uploads.BeginAsync(id, "s1", "me", Lease, null, Cancellation),
            () => Staging.BeginAsync(id, isJob: false, "s1", "me", Lease, null, Cancellation),
        })
        {
            var refusal = await Assert.ThrowsAsync<RegistryException>(refused);
            Assert.Equal(ErrorCode.IdentityUnavailable, refusal.Code);
        }

        await using var db = await Database.OpenAsync();
        Assert.Equal(ImageStatus.Queued, (await db.Images.SingleAsync(i => i.Id == id, Cancellation)).Status);
    }

    private ImageEditor Editor() => new(Factory, Quota, Database.Time);

    private async Task<string> RegisterAsync()
    {
        var image = Images.Queued("p");
        await Editor().CreateAsync(image, Cancellation);
        return image.Id;
    }

    private async Task<string?> TryRegisterAsync()
    {
        try
        {
            return await RegisterAsync();
        }
        catch (RegistryException refusal) when (refusal.Code == ErrorCode.QuotaExceeded)
        {
            return null;
        }
    }

    private async Task<UploadIntent> BeginAsync(long? stated) =>
        await Uploads.BeginAsync(await RegisterAsync(), "s1", "me", Lease, stated, Cancellation);

    private async Task UploadAsync(long? stated, long length)
    {
        var intent = await BeginAsync(stated);
        if (stated is null)
        {
            await Uploads.ReserveAsync(intent, length, Cancellation);
        }

        await Uploads.CommitAsync(intent, Images.Result() with { Size = length }, Cancellation);
    }

    private async Task<StagedBlob> StageAsync(long length)
    {
        var intent = await Staging.BeginAsync(
            await RegisterAsync(), isJob: false, "s1", "me", Lease, length, Cancellation);
        var result = Images.Result();
        var staged = new StagedBlob(
            intent.ImageId, intent.Generation, "s1", length, result.IndexLength, result.IndexDigest.ToArray(),
            result.Checksum, result.HashAlgorithm, result.HashValue, null, "received", "{}");
        await Staging.CommitAsync(intent, staged, Cancellation);
        return staged;
    }

    private Task<Job> StartAsync(StagedBlob staged) => Imports.StartAsync(
        staged.ImageId, new JobOrder("import", "{}"), (image, _, _) => image.BeginImport(Database.Time.GetUtcNow()),
        Cancellation);

    private async Task ImportAsync(StagedBlob staged)
    {
        await StartAsync(staged);
        await CommitAsync(staged);
    }

    private async Task CommitAsync(StagedBlob staged)
    {
        await using var db = await Database.OpenAsync();
        var image = await db.Images.SingleAsync(i => i.Id == staged.ImageId, Cancellation);
        await Imports.CommitAsync(
            staged,
            new ImportOutcome
            {
                Result = Images.Result() with { Size = staged.DataLength },
                Judged = (image.DiskFormat, image.ContainerFormat),
                StoreIds = ["s1"],
                Copies = [],
                Properties = new Dictionary<string, string>(),
            },
            Cancellation);
    }

    private sealed class Limits : IProjectLimits
    {
        public ProjectLimits Now { get; set; } = new("p", 100, 100, 100, 100);

        public bool IsAway { get; set; }

        public Task<ProjectLimits> FindAsync(string projectId, CancellationToken cancellationToken) => IsAway
            ? throw new RegistryException(ErrorCode.IdentityUnavailable, "away")
            : Task.FromResult(projectId == "p" ? Now : new ProjectLimits(projectId, 100, 100, 100, 100));
    }
}
