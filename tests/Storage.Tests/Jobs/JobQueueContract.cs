using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Metadata;

namespace Registry.Storage.Tests.Jobs;

public sealed class SqliteJobQueueTests(TestDatabases databases) : JobQueueContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresJobQueueTests(TestDatabases databases) : JobQueueContract(databases, DatabaseKind.Postgres);

public abstract class JobQueueContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly string[] Kinds = ["copy", "scrub"];
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);
    private static readonly JobProgress Half = new("copying", 1, 2);

    private JobQueue Queue => Database.Get<JobQueue>();

    [Fact]
    public async Task A_job_is_handed_out_once_and_ends_well()
    {
        var asked = await Queue.EnqueueAsync(
            new JobOrder("copy", "\"s2\"") { ImageId = "i", Owner = "p", RequestId = "req-1" }, Cancellation);
        Assert.Equal((JobStatus.Pending, 0), (asked.Status, asked.Attempt));

        var job = await LeaseAsync("w1");
        Assert.Equal(
            (asked.Id, JobStatus.Running, 1, "w1", "\"s2\"", "i", "p", "req-1"),
            (job!.Id, job.Status, job.Attempt, job.LeaseOwner, job.Input, job.ImageId, job.Owner, job.RequestId));
        Assert.Null(await LeaseAsync("w2"));

        Assert.Equal(LeaseState.Held, await Queue.RenewAsync(job.Lease, Lease, Half, Cancellation));
        var running = await LoadAsync(job.Id);
        Assert.Equal(("copying", 1L, 2L), (running.Step, running.Done, running.Total));

        Assert.True(await Queue.CompleteAsync(job.Lease, new JobProgress("copying", 2, 2), "{}", Cancellation));
        var ended = await LoadAsync(job.Id);
        Assert.Equal((JobStatus.Succeeded, 2L, "{}"), (ended.Status, ended.Done, ended.Result));
        Assert.NotNull(ended.EndedAt);
        Assert.Null(await LeaseAsync("w1"));
    }

    [Fact]
    public async Task A_secret_is_forgotten_however_its_job_ends()
    {
        foreach (var end in new Func<Job, Task<bool>>[]
        {
            job => Queue.CompleteAsync(job.Lease, Half, "{}", Cancellation),
            job => Queue.CancelledAsync(job.Lease, Half, Cancellation),
            job => Queue.FailAsync(job.Lease, "odd", "It failed.", retryIn: null, Cancellation),
        })
        {
            await Queue.EnqueueAsync(new JobOrder("copy", "{}") { Secret = "sealed" }, Cancellation);
            var job = await LeaseAsync("w1");
            Assert.Equal("sealed", job!.Secret);
            Assert.True(await end(job));
            Assert.Null((await LoadAsync(job.Id)).Secret);
        }
    }

    [Fact]
    public async Task A_secret_stays_with_a_job_that_is_tried_again()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "{}") { Secret = "sealed" }, Cancellation);
        var first = await LeaseAsync("w1");
        Assert.True(await Queue.FailAsync(first!.Lease, "odd", "It failed.", TimeSpan.Zero, Cancellation));
        Assert.Equal("sealed", (await LeaseAsync("w2"))!.Secret);
    }

    [Fact]
    public async Task Only_kinds_that_the_worker_can_do_are_handed_out_oldest_first()
    {
        await Queue.EnqueueAsync(new JobOrder("other", "{}"), Cancellation);
        await Queue.EnqueueAsync(new JobOrder("copy", "{}") { Delay = TimeSpan.FromHours(1) }, Cancellation);
        var first = await Queue.EnqueueAsync(new JobOrder("copy", "1"), Cancellation);
        await PassAsync(TimeSpan.FromMilliseconds(1));
        var second = await Queue.EnqueueAsync(
            new JobOrder("scrub", "2") { Delay = TimeSpan.FromMilliseconds(5) }, Cancellation);
        await PassAsync(TimeSpan.FromMilliseconds(10));
        Assert.Equal(first.Id, (await LeaseAsync("w1"))!.Id);
        Assert.Equal(second.Id, (await LeaseAsync("w2"))!.Id);
        Assert.Null(await LeaseAsync("w3"));
    }

    [Fact]
    public async Task Eight_workers_do_each_of_a_hundred_jobs_once()
    {
        for (var i = 0; i < 100; i++)
        {
            await Queue.EnqueueAsync(new JobOrder("copy", $"{i}"), Cancellation);
        }

        var done = await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(async () =>
        {
            var mine = new List<Guid>();
            while (await LeaseAsync($"w{worker}") is { } job)
            {
                mine.Add(job.Id);
                Assert.True(await Queue.CompleteAsync(job.Lease, Half, null, Cancellation));
            }

            return mine;
        })));
        var all = done.SelectMany(mine => mine).ToList();
        Assert.Equal(100, all.Count);
        Assert.Equal(100, all.Distinct().Count());
    }

    [Fact]
    public async Task A_worker_that_lost_its_lease_changes_nothing_any_more()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var zombie = await Queue.LeaseAsync(Kinds, "w1", TimeSpan.FromMilliseconds(10), Cancellation);
        await PassAsync(TimeSpan.FromMilliseconds(30));
        var taken = await LeaseAsync("w2");
        Assert.Equal((zombie!.Id, 2), (taken!.Id, taken.Attempt));

        Assert.Equal(LeaseState.Lost, await Queue.RenewAsync(zombie.Lease, Lease, Half, Cancellation));
        Assert.False(await Queue.CompleteAsync(zombie.Lease, Half, "{}", Cancellation));
        Assert.False(await Queue.FailAsync(zombie.Lease, "x", "x", retryIn: null, Cancellation));
        Assert.False(await Queue.RescheduleAsync(zombie.Lease, TimeSpan.Zero, Cancellation));
        Assert.False(await Queue.CancelledAsync(zombie.Lease, Half, Cancellation));
        var job = await LoadAsync(zombie.Id);
        Assert.Equal((JobStatus.Running, 2, null), (job.Status, job.Attempt, job.Step));
        Assert.True(await Queue.CompleteAsync(taken.Lease, Half, "{}", Cancellation));
    }

    [Fact]
    public async Task The_same_worker_is_fenced_from_its_own_earlier_attempt()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var first = await LeaseAsync("w1");
        Assert.True(await Queue.FailAsync(first!.Lease, "store_failed", "Broke.", TimeSpan.Zero, Cancellation));
        var second = await LeaseAsync("w1");
        Assert.Equal(("store_failed", "Broke."), (second!.FailureCode, second.Message));
        Assert.False(await Queue.CompleteAsync(first.Lease, Half, null, Cancellation));
        Assert.True(await Queue.CompleteAsync(second.Lease, Half, null, Cancellation));
    }

    [Fact]
    public async Task A_failed_attempt_waits_and_a_job_given_up_says_why()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "1"), Cancellation);
        var waits = await LeaseAsync("w1");
        Assert.True(await Queue.FailAsync(waits!.Lease, "a", "A.", TimeSpan.FromHours(1), Cancellation));
        Assert.Null(await LeaseAsync("w1"));

        await Queue.EnqueueAsync(new JobOrder("copy", "2"), Cancellation);
        var first = await LeaseAsync("w1");
        Assert.True(await Queue.FailAsync(first!.Lease, "a", "A.", TimeSpan.FromMilliseconds(5), Cancellation));
        await PassAsync(TimeSpan.FromMilliseconds(10));
        var second = await LeaseAsync("w1");
        Assert.Equal((first.Id, 2), (second!.Id, second.Attempt));
        Assert.True(await Queue.FailAsync(second.Lease, "b", "B.", retryIn: null, Cancellation));
        var job = await LoadAsync(second.Id);
        Assert.Equal((JobStatus.Failed, "b", "B."), (job.Status, job.FailureCode, job.Message));
        Assert.Null(await LeaseAsync("w1"));
    }

    [Fact]
    public async Task A_job_whose_workers_keep_disappearing_is_handed_out_to_be_given_up()
    {
        var asked = await Queue.EnqueueAsync(new JobOrder("copy", "{}") { AttemptsMax = 2 }, Cancellation);
        for (var attempt = 0; attempt < 2; attempt++)
        {
            Assert.NotNull(await Queue.LeaseAsync(Kinds, "w", TimeSpan.FromMilliseconds(5), Cancellation));
            await PassAsync(TimeSpan.FromMilliseconds(20));
        }

        var last = await LeaseAsync("w");
        Assert.Equal((asked.Id, 3, 2), (last!.Id, last.Attempt, last.AttemptsMax));
    }

    [Fact]
    public async Task A_certain_job_is_handed_out_before_it_is_due_but_only_if_nobody_has_it()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "1"), Cancellation);
        var wanted = await Queue.EnqueueAsync(
            new JobOrder("copy", "2") { Delay = TimeSpan.FromHours(1) }, Cancellation);
        var taken = await Queue.LeaseAsync(wanted.Id, "w1", Lease, Cancellation);
        Assert.Equal((wanted.Id, 1), (taken!.Id, taken.Attempt));
        Assert.Null(await Queue.LeaseAsync(wanted.Id, "w2", Lease, Cancellation));
        await Queue.ReclaimAsync(Cancellation);
        taken = await Queue.LeaseAsync(wanted.Id, "w2", Lease, Cancellation);
        Assert.Equal(2, taken!.Attempt);
        Assert.True(await Queue.CompleteAsync(taken.Lease, Half, null, Cancellation));
        Assert.Null(await Queue.LeaseAsync(wanted.Id, "w3", Lease, Cancellation));
    }

    [Fact]
    public async Task A_job_put_back_counts_no_attempt()
    {
        var asked = await Queue.EnqueueAsync(new JobOrder("copy", "{}") { AttemptsMax = 1 }, Cancellation);
        for (var round = 0; round < 5; round++)
        {
            var job = await LeaseAsync("w");
            Assert.Equal(asked.Id, job!.Id);
            Assert.True(await Queue.RescheduleAsync(job.Lease, TimeSpan.Zero, Cancellation));
        }
    }

    [Fact]
    public async Task A_job_that_comes_back_for_ever_has_attempts_for_ever()
    {
        var asked = await Queue.EnqueueAsync(
            new JobOrder("copy", "{}") { AttemptsMax = JobOrder.Unlimited }, Cancellation);
        for (var round = 0; round < 3; round++)
        {
            Assert.True(await Queue.RescheduleAsync((await LeaseAsync("w"))!.Lease, TimeSpan.Zero, Cancellation));
        }

        var job = await LoadAsync(asked.Id);
        Assert.Equal((3, JobOrder.Unlimited), (job.Attempt, job.AttemptsMax));
    }

    [Fact]
    public async Task One_key_one_job_until_it_has_ended()
    {
        var order = new JobOrder("copy", "{}") { UniqueKey = "k" };
        var asked = await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => Task.Run(() => Queue.EnqueueAsync(order, Cancellation))));
        Assert.Single(asked.Select(job => job.Id).Distinct());
        var first = await LeaseAsync("w");
        Assert.Equal(first!.Id, (await Queue.EnqueueAsync(order, Cancellation)).Id);
        await Queue.CompleteAsync(first.Lease, Half, null, Cancellation);
        Assert.NotEqual(first.Id, (await Queue.EnqueueAsync(order, Cancellation)).Id);
    }

    [Fact]
    public async Task A_pending_job_that_is_cancelled_is_due_at_once_and_a_running_one_hears_of_it()
    {
        var pending = await Queue.EnqueueAsync(
            new JobOrder("copy", "{}") { Delay = TimeSpan.FromHours(1) }, Cancellation);
        Assert.True(await Queue.CancelAsync(pending.Id, Cancellation));
        var taken = await LeaseAsync("w");
        Assert.Equal((pending.Id, true), (taken!.Id, taken.IsCancelRequested));
        Assert.True(await Queue.CancelledAsync(taken.Lease, Half, Cancellation));
        Assert.False(await Queue.CancelAsync(pending.Id, Cancellation));

        await Queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var running = await LeaseAsync("w");
        Assert.True(await Queue.CancelAsync(running!.Id, Cancellation));
        Assert.Equal(
            LeaseState.CancelRequested, await Queue.RenewAsync(running.Lease, Lease, Half, Cancellation));
        Assert.True(await Queue.CancelledAsync(running.Lease, Half, Cancellation));
        Assert.Equal(JobStatus.Cancelled, (await LoadAsync(running.Id)).Status);
        Assert.False(await Queue.CancelAsync(Guid.NewGuid(), Cancellation));
    }

    [Fact]
    public async Task A_process_that_is_alone_takes_over_at_once()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "{}"), Cancellation);
        var before = await LeaseAsync("dead");
        Assert.Equal(1, await Queue.ReclaimAsync(Cancellation));
        Assert.Equal(before!.Id, (await LeaseAsync("alive"))!.Id);
    }

    [Fact]
    public async Task Old_jobs_are_forgotten_and_others_are_not()
    {
        await Queue.EnqueueAsync(new JobOrder("copy", "1"), Cancellation);
        var ended = await LeaseAsync("w");
        await Queue.CompleteAsync(ended!.Lease, Half, null, Cancellation);
        var live = await Queue.EnqueueAsync(new JobOrder("copy", "2"), Cancellation);
        Assert.Equal(0, await Queue.PurgeAsync(TimeSpan.FromHours(1), Cancellation));
        await PassAsync(TimeSpan.FromMilliseconds(20));
        Assert.Equal(1, await Queue.PurgeAsync(TimeSpan.FromMilliseconds(5), Cancellation));
        Assert.Equal(JobStatus.Pending, (await LoadAsync(live.Id)).Status);
    }

    [Fact]
    public async Task A_project_sees_its_own_jobs_newest_first_and_an_administrator_all()
    {
        var first = await Queue.EnqueueAsync(new JobOrder("copy", "1") { Owner = "p", ImageId = "i" }, Cancellation);
        await PassAsync(TimeSpan.FromMilliseconds(2));
        var second = await Queue.EnqueueAsync(new JobOrder("scrub", "2") { Owner = "p" }, Cancellation);
        await PassAsync(TimeSpan.FromMilliseconds(2));
        var others = await Queue.EnqueueAsync(new JobOrder("copy", "3") { Owner = "q" }, Cancellation);
        var none = await Queue.EnqueueAsync(new JobOrder("copy", "4"), Cancellation);

        Assert.Equal([second.Id, first.Id], await ListAsync(new(10), new("p", IsAdmin: false)));
        Assert.Equal([second.Id], await ListAsync(new(1), new("p", IsAdmin: false)));
        Assert.Equal([first.Id], await ListAsync(new(1) { Marker = second.Id }, new("p", IsAdmin: false)));
        Assert.Equal([first.Id], await ListAsync(new(10) { ImageId = "i" }, new("p", IsAdmin: false)));
        Assert.Equal([second.Id], await ListAsync(new(10) { Kind = "scrub" }, Viewer.System));
        Assert.Equal(4, (await ListAsync(new(10) { Status = JobStatus.Pending }, Viewer.System)).Count);
        Assert.Empty(await ListAsync(new(10), new(ProjectId: null, IsAdmin: false)));
        await using var db = await Database.OpenAsync();
        Assert.Null(await JobQueries.FindAsync(db, others.Id, new("p", IsAdmin: false), Cancellation));
        Assert.Null(await JobQueries.FindAsync(db, none.Id, new("p", IsAdmin: false), Cancellation));
        Assert.NotNull(await JobQueries.FindAsync(db, none.Id, Viewer.System, Cancellation));
    }

    private Task<Job?> LeaseAsync(string worker) => Queue.LeaseAsync(Kinds, worker, Lease, Cancellation);

    private async Task<List<Guid>> ListAsync(JobListRequest request, Viewer viewer)
    {
        await using var db = await Database.OpenAsync();
        return [.. (await JobQueries.ListAsync(db, request, viewer, Cancellation)).Select(job => job.Id)];
    }

    private async Task<Job> LoadAsync(Guid id)
    {
        await using var db = await Database.OpenAsync();
        return (await JobQueries.FindAsync(db, id, Viewer.System, Cancellation))!;
    }

    // Leases are judged by the server's clock on PostgreSQL, by ours on SQLite.
    private Task PassAsync(TimeSpan time)
    {
        Database.Time.Advance(time);
        return Database.Kind == DatabaseKind.Sqlite ? Task.CompletedTask : Task.Delay(time, Cancellation);
    }
}
