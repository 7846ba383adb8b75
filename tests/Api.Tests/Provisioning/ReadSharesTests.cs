using Registry.Api.Provisioning;
using Xunit;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Few readers read much at a time, many little, and no more than memory allows.</summary>
public sealed class ReadSharesTests
{
    private const long Plenty = 1L << 40;
    private const int LeastReaders = 8;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_more_readers_there_are_the_shorter_they_read()
    {
        using var shares = new ReadShares(Plenty);
        var lengths = new List<int>();
        for (var reader = 0; reader < 20; reader++)
        {
            lengths.Add((await shares.JoinAsync(Stop)).Options.MaxRangeBytes);
        }

        Assert.Equal(8 << 20, lengths[0]);
        Assert.Equal(lengths.OrderDescending(), lengths);
        Assert.Equal(128 << 10, lengths[^1]);
        Assert.True(lengths.Distinct().Count() <= 4, "buffers of every size stay in the pool");
    }

    [Fact]
    public async Task What_is_given_back_is_there_for_the_next()
    {
        using var shares = new ReadShares(Plenty);
        var first = await shares.JoinAsync(Stop);
        first.Dispose();
        first.Dispose(); // not given back twice
        using var second = await shares.JoinAsync(Stop);
        using var third = await shares.JoinAsync(Stop);

        Assert.Equal(8 << 20, second.Options.MaxRangeBytes);
        Assert.Equal(2 << 20, third.Options.MaxRangeBytes);
    }

    [Fact]
    public async Task Who_reads_little_takes_little()
    {
        using var shares = new ReadShares(Plenty);
        using var little = await shares.JoinAsync(Stop, 1 << 20);
        Assert.Equal(512 << 10, little.Options.MaxRangeBytes);
    }

    [Fact]
    public async Task Where_memory_is_little_the_next_waits_until_somebody_leaves()
    {
        using var shares = new ReadShares(availableBytes: 1 << 20);
        var readers = new List<ReadShares.Share>();
        for (var reader = 0; reader < LeastReaders; reader++)
        {
            readers.Add(await shares.JoinAsync(Stop));
        }

        using var hurry = new CancellationTokenSource();
        var cancelled = shares.JoinAsync(hurry.Token).AsTask();
        var waiting = shares.JoinAsync(Stop).AsTask();
        Assert.False(waiting.IsCompleted);
        await hurry.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);

        readers[0].Dispose();
        using var next = await waiting;
        next.Renew();
        Assert.Equal(2 << 20, next.Options.MaxRangeBytes); // of what the first one left, with room for the next
    }
}
