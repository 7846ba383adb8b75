using Registry.Api.Memory;
using Registry.Api.Provisioning;
using Registry.Storage.Domain;
using Xunit;

namespace Registry.Api.Tests.Provisioning;

/// <summary>Few readers read much at a time, many little, and no more than memory allows.</summary>
public sealed class ReadSharesTests
{
    private const long Plenty = 1L << 40;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private static ReadShares SharesOf(long budget, TimeSpan? wait = null) => new(new ProcessMemory(
        new MemorySection { BudgetBytes = budget, Wait = wait ?? TimeSpan.FromMinutes(1) }, TimeProvider.System));

    private static async Task<List<ReadShares.Share>> FillAsync(ReadShares shares)
    {
        var readers = new List<ReadShares.Share>();
        while (true)
        {
            using var over = new CancellationTokenSource();
            var next = shares.JoinAsync(over.Token).AsTask();
            if (!next.IsCompleted)
            {
                await over.CancelAsync();
                await next.ContinueWith(_ => { }, TaskScheduler.Default);
                return readers;
            }

            readers.Add(await next);
        }
    }

    [Fact]
    public async Task The_more_readers_there_are_the_shorter_they_read()
    {
        var shares = SharesOf(Plenty);
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
        var shares = SharesOf(Plenty);
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
        var shares = SharesOf(Plenty);
        using var little = await shares.JoinAsync(Stop, 1 << 20);
        Assert.Equal(512 << 10, little.Options.MaxRangeBytes);
    }

    [Fact]
    public async Task Where_memory_is_little_the_next_waits_until_somebody_leaves()
    {
        var shares = SharesOf(32 << 20);
        var readers = await FillAsync(shares);
        Assert.InRange(readers.Count, 2, 8);

        using var hurry = new CancellationTokenSource();
        var cancelled = shares.JoinAsync(hurry.Token).AsTask();
        var waiting = shares.JoinAsync(Stop).AsTask();
        Assert.False(waiting.IsCompleted);
        await hurry.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);

        readers[0].Dispose();
        using var next = await waiting;
        Assert.Equal(0, shares.Waiting);
    }

    [Fact]
    public async Task A_reader_that_finds_no_place_in_time_is_told_to_come_back()
    {
        var shares = SharesOf(32 << 20, TimeSpan.FromMilliseconds(50));
        await FillAsync(shares);
        var refused = await Assert.ThrowsAsync<RegistryException>(() => shares.JoinAsync(Stop).AsTask());
        Assert.Equal((ErrorCode.Busy, ProcessMemory.Reason), (refused.Code, refused.Reason));
        Assert.Equal(0, shares.Waiting);
    }
}
