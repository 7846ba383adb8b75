using Registry.Storage.Memory;
using Xunit;

namespace Registry.Api.Tests;

/// <summary>Few get much, many get little, and all together hardly more than there is.</summary>
public sealed class ByteSharesTests
{
    private const int Together = 48 << 20;
    private const int Least = 256 << 10;

    [Fact]
    public void However_many_come_they_hold_little_more_than_what_is_divided()
    {
        var shares = new ByteShares(Together, [2 << 20, 1 << 20, 512 << 10, Least], new MemoryBudget(1L << 40));
        var held = Enumerable.Range(0, 500).Select(_ => shares.Exchange(0)).ToList();

        Assert.Equal(2 << 20, held[0]);
        Assert.Equal(Least, held[^1]);
        Assert.InRange(held.Sum(bytes => (long)bytes), 500L * Least, Together + (500L * Least));
    }

    [Fact]
    public void Who_came_first_makes_room_and_gets_it_back_when_the_others_have_gone()
    {
        var shares = new ByteShares(Together, [2 << 20, 1 << 20, 512 << 10, Least], new MemoryBudget(1L << 40));
        var first = shares.Exchange(0);
        var others = Enumerable.Range(0, 500).Select(_ => shares.Exchange(0)).ToList();

        first = shares.Exchange(first);
        Assert.Equal(Least, first);

        others.ForEach(shares.Return);
        Assert.Equal(2 << 20, shares.Exchange(first));
    }

    [Fact]
    public void Where_the_budget_is_used_up_all_get_the_least()
    {
        var budget = new MemoryBudget(1 << 20);
        var shares = new ByteShares(Together, [2 << 20, 1 << 20, 512 << 10, Least], budget);
        var first = shares.Exchange(0);

        Assert.Equal(1 << 20, first); // three quarters beyond the least; the last quarter is for those who need it
        Assert.Equal(first - Least, budget.Taken);
        Assert.Equal(Least, shares.Exchange(0));
        shares.Return(first);
        Assert.Equal(0, budget.Taken);
    }
}
