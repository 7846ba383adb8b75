using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteLostCommitTests(TestDatabases databases) : LostCommitContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresLostCommitTests(TestDatabases databases)
    : LostCommitContract(databases, DatabaseKind.Postgres);

/// <summary>The commit happens, its answer does not arrive, and the driver calls that transient.</summary>
public abstract class LostCommitContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly Viewer Owner = new("p", IsAdmin: false);
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    private readonly LosesCommits _loses = new();

    [Fact]
    public async Task Every_write_has_one_effect_all_the_same()
    {
        var databases = new InterceptedDatabases(Database.Options, _loses);
        var editor = new ImageEditor(databases, Database.Get<StorageQuota>(), Database.Time);
        var ledger = new UploadLedger(
            databases, new StorageQuota(null), Database.Time, NullLogger<UploadLedger>.Instance);

        var image = Images.Queued();
        await LoseAsync(() => editor.CreateAsync(image, Cancellation));
        await LoseAsync(() => editor.ChangeAsync(image.Id, Owner, changed => changed.MinRam++, Cancellation));
        var first = await LoseAsync(() => ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation));
        Assert.Equal(1, first.Generation);
        await LoseAsync(() => ledger.AbandonAsync(first, "x", "x", Cancellation));
        var second = await LoseAsync(() => ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation));
        Assert.Equal(2, second.Generation);
        Assert.True(await LoseAsync(() => ledger.RenewAsync(second, Lease, Cancellation)));
        Assert.Equal(
            CommitOutcome.Committed, await LoseAsync(() => ledger.CommitAsync(second, Images.Result(), Cancellation)));

        await using (var db = await Database.OpenAsync())
        {
            var loaded = await ImageQueries.FindAsync(db, image.Id, Owner, tracking: false, Cancellation);
            Assert.Equal((ImageStatus.Active, 1, 6L), (loaded!.Status, loaded.MinRam, loaded.Revision));
            Assert.Single(loaded.Locations);
        }

        var freed = await LoseAsync(() => editor.DeleteAsync(image.Id, Cancellation));
        Assert.Equal(second.Key, Assert.Single(freed).Key);
    }

    [Fact]
    public async Task Every_write_of_the_job_queue_has_one_effect_all_the_same()
    {
        var queue = new JobQueue(new InterceptedDatabases(Database.Options, _loses), Database.Time);
        var asked = await LoseAsync(() => queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation));
        var first = await LoseAsync(() => queue.LeaseAsync(["copy"], "w", Lease, Cancellation));
        Assert.Equal((asked.Id, 1), (first!.Id, first.Attempt));
        Assert.Equal(
            LeaseState.Held, await LoseAsync(() => queue.RenewAsync(first.Lease, Lease, default, Cancellation)));
        Assert.True(await LoseAsync(() => queue.FailAsync(first.Lease, "x", "X.", TimeSpan.Zero, Cancellation)));
        var second = await LoseAsync(() => queue.LeaseAsync(["copy"], "w", Lease, Cancellation));
        Assert.Equal(2, second!.Attempt);
        Assert.True(await LoseAsync(() => queue.CompleteAsync(second.Lease, default, "{}", Cancellation)));
        Assert.Null(await queue.LeaseAsync(["copy"], "w", Lease, Cancellation));
        await using var db = await Database.OpenAsync();
        Assert.Equal(JobStatus.Succeeded, (await db.Jobs.SingleAsync(Cancellation)).Status);
    }

    [Fact]
    public async Task A_job_whose_lease_ran_out_before_the_answer_came_is_not_resumed()
    {
        var lease = TimeSpan.FromMilliseconds(5);
        var queue = new JobQueue(new InterceptedDatabases(Database.Options, _loses), Database.Time);
        var asked = await queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        _loses.Meanwhile = () => Database.Time.Advance(lease * 2); // PostgreSQL's own clock goes on by itself
        var job = await LoseAsync(() => queue.LeaseAsync(["copy"], "w", lease, Cancellation));
        Assert.Equal((asked.Id, 2), (job!.Id, job.Attempt));
    }

    [Fact]
    public async Task A_job_that_is_resumed_has_its_lease_renewed()
    {
        var queue = new JobQueue(new InterceptedDatabases(Database.Options, _loses), Database.Time);
        await queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        await queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var other = await queue.LeaseAsync(["copy"], "w", Lease, Cancellation); // whose end was never recorded
        Database.Time.Advance(TimeSpan.FromSeconds(1)); // on a clock that stands still both leases end together
        _loses.Meanwhile = () => Database.Time.Advance(Lease / 2);
        var job = await LoseAsync(() => queue.LeaseAsync(["copy"], "w", Lease, Cancellation));
        Assert.NotEqual(other!.Id, job!.Id);
        Assert.Equal(1, job.Attempt);
        await using var db = await Database.OpenAsync();
        var now = await DatabaseDialect.NowAsync(db, Database.Time, Cancellation);
        Assert.True(job.LeaseUntil > now + (Lease * 0.9));
    }

    [Fact]
    public async Task A_copy_whose_answers_are_lost_is_one_copy()
    {
        var databases = new InterceptedDatabases(Database.Options, _loses);
        var quota = Database.Get<StorageQuota>();
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var upload = await Database.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
        await Database.Ledger.CommitAsync(upload, Images.Result(), Cancellation);
        await using var db = await Database.OpenAsync();
        var source = await db.Locations.AsNoTracking().SingleAsync(l => l.ImageId == image.Id, Cancellation);
        var copies = new CopyLedger(databases, quota, Database.Time);
        var intent = await LoseAsync(() => copies.BeginAsync(source, "s2", "job 1", Lease, Cancellation));
        Assert.Equal(source.Generation + 1, intent!.Generation);
        Assert.Equal(CommitOutcome.Committed, await LoseAsync(() => copies.CommitAsync(intent, source, Cancellation)));
        Assert.Equal(2, await db.Locations.CountAsync(l => l.ImageId == image.Id, Cancellation));
    }

    [Fact]
    public async Task A_repair_whose_answers_are_lost_replaces_once_and_raises_one_event()
    {
        var databases = new InterceptedDatabases(Database.Options, _loses);
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        var upload = await Database.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
        await Database.Ledger.CommitAsync(upload, Images.Result(), Cancellation);
        var health = new LocationHealth(databases, Database.Time, new EventSelection([]));
        await LoseAsync(() => health.MarkAsync(upload.Key, "s1", repair: null, Cancellation));
        await using var db = await Database.OpenAsync();
        Assert.Equal(1, await db.Events.CountAsync(e => e.Type == LocationHealth.Damaged, Cancellation));

        var damaged = await db.Locations.AsNoTracking().SingleAsync(l => l.ImageId == image.Id, Cancellation);
        var copies = new CopyLedger(databases, Database.Get<StorageQuota>(), Database.Time);
        var intent = await LoseAsync(() => copies.BeginRepairAsync(damaged, "job 1", Lease, Cancellation));
        Assert.Equal(damaged.Generation + 1, intent!.Generation);
        Assert.Equal(
            CommitOutcome.Committed, await LoseAsync(() => copies.CommitRepairAsync(intent, damaged, Cancellation)));
        var now = await db.Locations.AsNoTracking().SingleAsync(l => l.ImageId == image.Id, Cancellation);
        Assert.Equal((intent.Key, null), (now.Key, now.DamagedAt));
    }

    [Fact]
    public async Task A_database_that_stays_away_is_told_as_such()
    {
        var editor = new ImageEditor(
            new InterceptedDatabases(Database.Options, _loses), Database.Get<StorageQuota>(), Database.Time);
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        _loses.Next = int.MaxValue;
        var refusal = await Assert.ThrowsAsync<RegistryException>(() => editor.ChangeAsync(
            image.Id,
            Owner,
            changed => changed.Touch(DateTimeOffset.UnixEpoch.AddMicroseconds(Random.Shared.Next())),
            Cancellation));
        Assert.Equal(ErrorCode.DatabaseUnavailable, refusal.Code);
    }

    private async Task<T> LoseAsync<T>(Func<Task<T>> write)
    {
        _loses.Next = 1;
        var result = await write();
        Assert.Equal(0, _loses.Next);
        return result;
    }

    private async Task LoseAsync(Func<Task> write)
    {
        _loses.Next = 1;
        await write();
        Assert.Equal(0, _loses.Next);
    }

    private sealed class LosesCommits : DbTransactionInterceptor
    {
        public int Next { get; set; }

        /// <summary>Happens while the answer is lost.</summary>
        public Action? Meanwhile { get; set; }

        public override Task TransactionCommittedAsync(
            DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            if (Next == 0)
            {
                return Task.CompletedTask;
            }

            Next--;
            Meanwhile?.Invoke();
            throw transaction is NpgsqlTransaction
                ? new NpgsqlException("connection reset", new IOException("connection reset"))
                : new SqliteException("busy", 5);
        }
    }
}
