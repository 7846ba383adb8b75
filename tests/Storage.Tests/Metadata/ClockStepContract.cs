using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Domain;
using Registry.Support;

namespace Registry.Storage.Tests.Metadata;

public sealed class SqliteClockStepTests(TestDatabases databases) : ClockStepContract(databases, DatabaseKind.Sqlite)
{
    [Fact]
    public async Task Leases_end_by_the_monotonic_clock_after_a_step_too()
    {
        var intent = await BeginAsync();
        Step(TimeSpan.FromDays(-1));
        Database.Time.Advance(Lease / 2);
        Assert.Empty(await Database.Ledger.ReclaimAsync(exceptOwner: null, Cancellation));
        Database.Time.Advance(Lease);
        Assert.Equal(intent.Id, Assert.Single(await Database.Ledger.ReclaimAsync(exceptOwner: null, Cancellation)).Id);
    }

    [Fact]
    public async Task A_job_that_was_put_back_by_a_clock_that_was_ahead_is_due_after_the_next_start()
    {
        var queue = Database.Get<JobQueue>();
        await queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var job = await queue.LeaseAsync(["copy"], "w1", Lease, Cancellation);
        Database.Time.Advance(TimeSpan.FromDays(1));
        await queue.RescheduleAsync(job!.Lease, TimeSpan.FromMinutes(1), Cancellation);

        // The next process, whose clock was set right.
        await using var next = new TestDatabase(Database.Options);
        Assert.Null(await next.Get<JobQueue>().LeaseAsync(["copy"], "w2", Lease, Cancellation));
        await next.Get<JobQueue>().ReclaimAsync(Cancellation);
        Assert.NotNull(await next.Get<JobQueue>().LeaseAsync(["copy"], "w2", Lease, Cancellation));
    }
}

public sealed class PostgresClockStepTests(TestDatabases databases)
    : ClockStepContract(databases, DatabaseKind.Postgres);

/// <summary>What a step of the wall clock must not do, by an hour or by a day, ahead or back.</summary>
public abstract class ClockStepContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    protected static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    public static TheoryData<double> Hours => [1, -1, 24, -24];

    [Theory]
    [MemberData(nameof(Hours))]
    public async Task A_step_takes_no_upload_and_no_job_from_who_holds_it(double hours)
    {
        var queue = Database.Get<JobQueue>();
        var intent = await BeginAsync();
        await queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var job = await queue.LeaseAsync(["copy"], "w1", Lease, Cancellation);
        Step(TimeSpan.FromHours(hours));

        Assert.Empty(await Database.Ledger.ReclaimAsync(exceptOwner: null, Cancellation));
        Assert.Null(await queue.LeaseAsync(["copy"], "w2", Lease, Cancellation));
        Assert.True(await Database.Ledger.RenewAsync(intent, Lease, Cancellation));
        Assert.Equal(LeaseState.Held, await queue.RenewAsync(job!.Lease, Lease, default, Cancellation));

        Step(TimeSpan.FromHours(-hours));
        Assert.Empty(await Database.Ledger.ReclaimAsync(exceptOwner: null, Cancellation));
        Assert.Null(await queue.LeaseAsync(["copy"], "w2", Lease, Cancellation));
        Assert.True(await queue.CompleteAsync(job.Lease, default, "{}", Cancellation));
    }

    [Theory]
    [MemberData(nameof(Hours))]
    public async Task A_job_that_is_asked_for_after_a_step_is_due(double hours)
    {
        Step(TimeSpan.FromHours(hours));
        await Database.Get<JobQueue>().EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        Assert.NotNull(await Database.Get<JobQueue>().LeaseAsync(["copy"], "w1", Lease, Cancellation));
    }

    [Fact]
    public async Task A_clock_that_is_ahead_makes_no_garbage_look_old()
    {
        using var directory = new TempDirectory();
        using var store = new DirectoryBlobStore("s1", directory.Path, NullLogger<DirectoryBlobStore>.Instance);
        Database.Time.SetUtcNow(DateTimeOffset.UtcNow);
        Assert.Equal(TimeSpan.Zero, SteadyClock.Of(Database.Time).Step);
        await using var writer = await store.BeginAsync(new BlobKey(Images.NewId(), 1), null, Cancellation);
        foreach (var days in new[] { 1, -1 })
        {
            Step(TimeSpan.FromDays(days));
            Assert.Empty(await Database.Reaper.ReapAsync(store, Lease, Cancellation));
            Step(TimeSpan.FromDays(-days));
        }

        Database.Time.Advance(Lease * 2);
        Assert.Single(await Database.Reaper.ReapAsync(store, Lease, Cancellation));
    }

    protected void Step(TimeSpan by) => Database.Time.Step(by);

    protected async Task<UploadIntent> BeginAsync()
    {
        var image = Images.Queued();
        await Database.Editor.CreateAsync(image, Cancellation);
        return await Database.Ledger.BeginAsync(image.Id, "s1", "me", Lease, null, Cancellation);
    }
}
