using Registry.Api.Usage;

namespace Registry.Api.Tests.Usage;

/// <summary>What projects share: one has its part, others have theirs, and nobody waits for ever.</summary>
public sealed class ProjectSharesTests
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);

    [Fact]
    public void Two_projects_that_take_all_they_get_leave_a_quarter_for_the_next()
    {
        var shares = new ProjectShares(16, perProject: 8);
        Assert.Equal(8, TakeAll(shares, "a").Count);
        Assert.Equal(4, TakeAll(shares, "b").Count);
        Assert.True(shares.IsOfProject("b"));
        foreach (var other in (string[])["c", "d", "e", "f"])
        {
            Assert.Single(TakeAll(shares, other)); // a first one each
        }

        Assert.Null(shares.TryTake("g"));
        Assert.False(shares.IsOfProject("g"));
        Assert.Equal(16, shares.Taken);
    }

    [Fact]
    public void What_is_given_back_can_be_taken_and_giving_back_twice_is_once()
    {
        var shares = new ProjectShares(4, perProject: 2);
        var taken = TakeAll(shares, "a");
        Assert.Equal(2, taken.Count);
        taken.ForEach(held => held.Dispose());
        taken.ForEach(held => held.Dispose());
        Assert.Equal(0, shares.Taken);
        Assert.Equal(2, TakeAll(shares, "a").Count);
    }

    [Fact]
    public void Where_all_are_one_project_it_may_have_all()
    {
        Assert.Equal(5, TakeAll(new ProjectShares(5, perProject: null), "a").Count);
        Assert.Equal(5, TakeAll(new ProjectShares(5, perProject: 2), null).Count); // as the registry itself
    }

    [Fact]
    public void Amounts_are_counted_and_one_that_exceeds_the_whole_takes_the_whole()
    {
        var shares = new ProjectShares(100, perProject: 50);
        using (shares.TryTake("a", 1000))
        {
            Assert.Equal(100, shares.Taken);
            Assert.Null(shares.TryTake("b"));
        }

        Assert.NotNull(shares.TryTake("a", 40));
        Assert.Null(shares.TryTake("a", 11));
        Assert.NotNull(shares.TryTake("b", 60)); // its first
        Assert.Equal(100, shares.Taken);
    }

    [Fact]
    public async Task Of_those_that_wait_the_project_that_holds_least_is_served_first()
    {
        var shares = new ProjectShares(4, perProject: 3);
        var (first, second, third) = (shares.TryTake("a")!, shares.TryTake("a")!, shares.TryTake("a")!);
        var other = shares.TryTake("b")!;
        var greedy = Enumerable.Range(0, 10).Select(_ => WaitAsync(shares, "a")).ToList();
        var modest = WaitAsync(shares, "c");
        first.Dispose();
        Assert.NotNull(await modest.WaitAsync(Long, RegistryApp.Stop));
        Assert.DoesNotContain(greedy, waiting => waiting.IsCompleted);
        second.Dispose();
        third.Dispose();
        Assert.NotNull(await greedy[0].WaitAsync(Long, RegistryApp.Stop)); // of one project, in order
        other.Dispose();
    }

    [Fact]
    public async Task A_wait_ends_in_time_and_leaves_nothing_behind()
    {
        var shares = new ProjectShares(1, perProject: 1);
        var held = shares.TryTake("a")!;
        Assert.Null(await shares.TakeAsync("b", 1, TimeSpan.FromMilliseconds(20), TimeProvider.System, RegistryApp.Stop));
        using var over = new CancellationTokenSource();
        var cancelled = shares.TakeAsync("b", 1, Long, TimeProvider.System, over.Token).AsTask();
        await over.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        held.Dispose();
        Assert.Equal(0, shares.Taken);
        Assert.NotNull(shares.TryTake("c"));
    }

    [Fact]
    public async Task So_many_of_a_project_wait_and_others_still_may()
    {
        var shares = new ProjectShares(1, perProject: 1);
        var held = shares.TryTake("a")!;
        var waiting = Enumerable.Range(0, 1024).Select(_ => WaitAsync(shares, "a")).ToList();
        Assert.Null(await WaitAsync(shares, "a"));
        var other = WaitAsync(shares, "b");
        Assert.False(other.IsCompleted);
        held.Dispose();
        Assert.NotNull(await Task.WhenAny([.. waiting, other]).Unwrap().WaitAsync(Long, RegistryApp.Stop));
    }

    [Fact]
    public async Task Any_number_of_threads_take_no_more_than_there_is()
    {
        var shares = new ProjectShares(10, perProject: 4);
        var (held, most) = (0, 0);
        await Task.WhenAll(Enumerable.Range(0, 32).Select(worker => Task.Run(async () =>
        {
            for (var i = 0; i < 200; i++)
            {
                using var share = await shares.TakeAsync($"p{worker % 5}", 1, Long, TimeProvider.System, RegistryApp.Stop);
                Assert.NotNull(share);
                InterlockedMax(ref most, Interlocked.Increment(ref held));
                await Task.Yield();
                Interlocked.Decrement(ref held);
            }
        })));
        Assert.InRange(most, 1, 10);
        Assert.Equal(0, shares.Taken);
    }

    private static void InterlockedMax(ref int most, int value)
    {
        for (var seen = Volatile.Read(ref most); seen < value;)
        {
            seen = Interlocked.CompareExchange(ref most, value, seen) is var before && before == seen ? value : before;
        }
    }

    private static Task<IDisposable?> WaitAsync(ProjectShares shares, string project) =>
        shares.TakeAsync(project, 1, Long, TimeProvider.System, RegistryApp.Stop).AsTask();

    private static List<IDisposable> TakeAll(ProjectShares shares, string? project)
    {
        var taken = new List<IDisposable>();
        while (shares.TryTake(project) is { } share)
        {
            taken.Add(share);
        }

        return taken;
    }
}
