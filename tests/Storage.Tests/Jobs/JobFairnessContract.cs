using Registry.Storage.Domain;
using Registry.Storage.Jobs;
using Registry.Storage.Metadata;
using Registry.Storage.Tests.Metadata;

namespace Registry.Storage.Tests.Jobs;

public sealed class SqliteJobFairnessTests(TestDatabases databases) : JobFairnessContract(databases, DatabaseKind.Sqlite);

public sealed class PostgresJobFairnessTests(TestDatabases databases)
    : JobFairnessContract(databases, DatabaseKind.Postgres);

/// <summary>Projects take turns at the queue.</summary>
public abstract class JobFairnessContract(TestDatabases databases, DatabaseKind kind) : DatabaseContract(databases, kind)
{
    private static readonly string[] Kinds = ["copy", "import"];
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);
    private int _worker;

    private JobQueue Queue => Database.Get<JobQueue>();

    [Fact]
    public async Task A_project_with_many_jobs_delays_anothers_by_one()
    {
        await AskAsync("many", 50);
        await AskAsync("few", 1);
        await AskAsync(owner: null, 1); // the registry's own take turns as well
        Assert.Equal(
            ["many", "few", null, "many", "many"],
            await TakeAsync(5, (_, _) => Task.CompletedTask));
    }

    [Fact]
    public async Task One_worker_serves_projects_in_turn_whatever_their_jobs_wait_for()
    {
        await AskAsync("a", 10);
        await AskAsync("b", 3);
        await AskAsync("c", 2, "import");
        Assert.Equal(
            ["a", "b", "c", "a", "b", "c", "a", "b", "a"],
            await TakeAsync(9, (job, _) => Queue.CompleteAsync(job.Lease, default, null, Cancellation)));
    }

    [Fact]
    public async Task The_more_jobs_of_a_project_run_the_later_is_its_turn()
    {
        await AskAsync("a", 4);
        Assert.Equal(["a", "a", "a"], await TakeAsync(3, (_, _) => Task.CompletedTask));
        await AskAsync("b", 4);
        Assert.Equal(["b", "b", "b"], await TakeAsync(3, (_, _) => Task.CompletedTask));
        await AskAsync("c", 1);
        Assert.Equal(["c", "a", "b"], await TakeAsync(3, (_, _) => Task.CompletedTask));
    }

    [Fact]
    public async Task Jobs_that_other_workers_do_and_that_wait_for_their_time_do_not_count()
    {
        await AskAsync("a", 2);
        await AskAsync("a", 5, "scrub");
        for (var i = 0; i < 5; i++)
        {
            Assert.NotNull(await Queue.LeaseAsync(["scrub"], $"scrubber {i}", Lease, Cancellation));
        }

        await AskAsync("b", 2);
        Assert.Equal(["b", "a", "b", "a"], await TakeAsync(4, (_, _) => Task.CompletedTask));
        await Queue.EnqueueAsync(new JobOrder("copy", "{}") { Owner = "c", Delay = TimeSpan.FromHours(1) }, Cancellation);
        Assert.Null(await Queue.LeaseAsync(Kinds, "none is due", Lease, Cancellation));
    }

    [Fact]
    public async Task A_worker_that_went_away_does_not_count_as_running()
    {
        await AskAsync("a", 3);
        for (var i = 0; i < 2; i++)
        {
            Assert.NotNull(await Queue.LeaseAsync(Kinds, $"gone {i}", TimeSpan.FromMilliseconds(5), Cancellation));
        }

        await AskAsync("b", 2);
        Assert.Equal(["b"], await TakeAsync(1, (_, _) => Task.CompletedTask)); // two of the other's seem to run
        await PassAsync(TimeSpan.FromMilliseconds(50));
        Assert.Equal(["a", "a"], await TakeAsync(2, (job, n) => n == 0
            ? Queue.CompleteAsync(job.Lease, default, null, Cancellation)
            : Task.CompletedTask));
    }

    [Fact]
    public async Task Projects_that_may_not_have_more_are_left_out()
    {
        await AskAsync("a", 2);
        await AskAsync(owner: null, 2);
        await AskAsync("b", 1);
        Assert.Equal("b", (await Queue.LeaseAsync(Kinds, ["a", ""], "w1", Lease, Cancellation))!.Owner);
        Assert.Null(await Queue.LeaseAsync(Kinds, ["a", ""], "w2", Lease, Cancellation));
        Assert.Null((await Queue.LeaseAsync(Kinds, ["a"], "w3", Lease, Cancellation))!.Owner);
        Assert.Equal("a", (await Queue.LeaseAsync(Kinds, [""], "w4", Lease, Cancellation))!.Owner);
    }

    private async Task AskAsync(string? owner, int count, string kind = "copy")
    {
        for (var i = 0; i < count; i++)
        {
            await Queue.EnqueueAsync(new JobOrder(kind, $"{i}") { Owner = owner }, Cancellation);
            await PassAsync(TimeSpan.FromMilliseconds(1));
        }
    }

    private async Task<List<string?>> TakeAsync(int count, Func<Job, int, Task> then)
    {
        var owners = new List<string?>();
        for (var i = 0; i < count; i++)
        {
            var job = await Queue.LeaseAsync(Kinds, $"w{++_worker}", Lease, Cancellation);
            owners.Add(job!.Owner);
            await PassAsync(TimeSpan.FromMilliseconds(1));
            await then(job, i);
        }

        return owners;
    }

    // Leases are judged by the server's clock on PostgreSQL, by ours on SQLite.
    private Task PassAsync(TimeSpan time)
    {
        Database.Time.Advance(time);
        return Database.Kind == DatabaseKind.Sqlite ? Task.CompletedTask : Task.Delay(time, Cancellation);
    }
}
