using Registry.Api.Jobs;

namespace Registry.Api.Tests.Jobs;

/// <summary>How the workers of a process are divided.</summary>
public sealed class JobSharesTests
{
    [Fact]
    public void A_project_has_so_many_workers_and_none_more_when_half_are_busy()
    {
        var shares = new JobShares(workers: 8, perProject: 3);
        Assert.Empty(shares.Full);
        Begin(shares, "a", "a");
        Assert.Empty(shares.Full);
        Begin(shares, "a");
        Assert.Equal(["a"], shares.Full);
        Begin(shares, [null]);
        Assert.Equal(["", "a"], shares.Full.Order()); // four of eight are busy: the rest is for first jobs
        shares.End("a");
        Assert.Empty(shares.Full);
        shares.End(null);
        shares.End("a");
        shares.End("a");
        Assert.Empty(shares.Full);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(64)]
    public void However_many_jobs_one_project_has_others_have_half_of_the_workers(int workers)
    {
        var shares = new JobShares(workers, perProject: int.MaxValue);
        var taken = 0;
        while (!shares.Full.Contains("greedy") && shares.TryTake() is not null)
        {
            shares.Begin("greedy");
            taken++;
        }

        Assert.Equal((workers + 1) / 2, taken);
        for (var other = 0; other < workers - taken; other++)
        {
            Assert.NotNull(shares.TryTake());
            Assert.DoesNotContain($"project {other}", shares.Full);
            shares.Begin($"project {other}");
        }

        Assert.Null(shares.TryTake());
    }

    [Fact]
    public void A_worker_that_is_given_back_is_free_again()
    {
        var shares = new JobShares(workers: 2, perProject: 1);
        Assert.Equal((1, 2, null), (shares.TryTake(), shares.TryTake(), shares.TryTake()));
        shares.Return(2);
        Assert.Equal(2, shares.TryTake());
    }

    private static void Begin(JobShares shares, params string?[] owners)
    {
        foreach (var owner in owners)
        {
            Assert.NotNull(shares.TryTake());
            shares.Begin(owner);
        }
    }
}
