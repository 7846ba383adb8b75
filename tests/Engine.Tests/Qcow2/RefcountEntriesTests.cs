using Registry.Engine.Qcow2;
using Xunit;

namespace Registry.Engine.Tests.Qcow2;

/// <summary>Reference counts of every width, beside each other without touching each other.</summary>
public sealed class RefcountEntriesTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void A_count_is_read_back_and_its_neighbours_stay(int order)
    {
        var block = new byte[512];
        var counts = new ulong[RefcountEntries.PerBlock(block.Length, order)];
        var random = new Random(20261123);
        for (var i = 0; i < 4 * counts.Length; i++)
        {
            var at = random.Next(counts.Length);
            counts[at] = (ulong)random.NextInt64() & RefcountEntries.Max(order);
            RefcountEntries.Set(block, at, order, counts[at]);
        }

        Assert.Equal(counts, counts.Select((_, i) => RefcountEntries.Get(block, i, order)));
    }

    [Fact]
    public void Small_counts_start_at_the_least_significant_bit()
    {
        var block = new byte[1];
        RefcountEntries.Set(block, 1, 2, 5);
        Assert.Equal(0x50, block[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => RefcountEntries.Set(new byte[1], 0, 2, 16));
    }
}
