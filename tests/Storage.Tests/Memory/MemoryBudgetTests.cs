using Microsoft.Extensions.Time.Testing;
using Registry.Storage.Memory;

namespace Registry.Storage.Tests.Memory;

/// <summary>No more is given than there is, those who wait are served in order, and nothing is lost on the way.</summary>
public sealed class MemoryBudgetTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_is_returned_serves_those_who_wait_in_order()
    {
        var budget = new MemoryBudget(100);
        var first = await TakeAsync(budget, 80);
        var second = TakeAsync(budget, 50);
        var third = TakeAsync(budget, 10); // would fit, but the second comes first

        Assert.False(second.IsCompleted);
        Assert.False(third.IsCompleted);
        Assert.Equal(2, budget.Waiting);

        first!.Dispose();
        Assert.Equal(50, (await second)!.Bytes);
        Assert.Equal(10, (await third)!.Bytes);
        Assert.Equal(60, budget.Taken);
        first.Dispose(); // not returned twice
        Assert.Equal(60, budget.Taken);
    }

    [Fact]
    public async Task A_wait_ends_after_its_time_and_lets_the_next_pass()
    {
        var budget = new MemoryBudget(100);
        using var first = await TakeAsync(budget, 80);
        var large = budget.TakeAsync(90, Patience, _time, Stop).AsTask();
        var small = budget.TakeAsync(20, 2 * Patience, _time, Stop).AsTask();
        _time.Advance(Patience);

        Assert.Null(await large);
        Assert.Equal(20, (await small)!.Bytes);
        Assert.Equal(0, budget.Waiting);
    }

    [Fact]
    public async Task A_cancelled_wait_takes_nothing()
    {
        var budget = new MemoryBudget(100);
        using var first = await TakeAsync(budget, 100);
        using var cancel = new CancellationTokenSource();
        var waiting = budget.TakeAsync(50, Patience, _time, cancel.Token).AsTask();
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        first!.Dispose();
        Assert.Equal(0, budget.Taken);
    }

    [Fact]
    public async Task A_part_that_is_used_up_leaves_the_others_their_share()
    {
        var whole = new MemoryBudget(100);
        var (uploads, lists) = (whole.Part(60), whole.Part(100));
        using var upload = await TakeAsync(uploads, 60);
        var waits = TakeAsync(uploads, 1);

        Assert.False(waits.IsCompleted);
        using var list = await TakeAsync(lists, 40);
        Assert.Equal(100, whole.Taken);
        Assert.Equal((60, 40), (uploads.Taken, lists.Taken));

        list!.Dispose();
        Assert.False(waits.IsCompleted); // the part has no room, whatever the whole has
        upload!.Dispose();
        Assert.NotNull(await waits);
    }

    [Fact]
    public async Task Optional_bytes_leave_a_quarter_and_never_pass_those_who_wait()
    {
        var budget = new MemoryBudget(100);
        Assert.True(budget.TryTake(75));
        Assert.False(budget.TryTake(1));
        budget.Return(75);

        using var first = await TakeAsync(budget, 60);
        var waits = TakeAsync(budget, 50);
        Assert.False(budget.TryTake(1));
        Assert.False(waits.IsCompleted);
    }

    [Fact]
    public async Task More_than_there_is_takes_all_there_is()
    {
        var budget = new MemoryBudget(100);
        using var all = await TakeAsync(budget, 1000);
        Assert.Equal(100, all!.Bytes);
    }

    [Fact]
    public async Task What_is_charged_beyond_the_budget_makes_the_next_wait()
    {
        var budget = new MemoryBudget(100);
        budget.Charge(150);
        var waits = TakeAsync(budget, 10);
        Assert.False(waits.IsCompleted);
        budget.Return(60);
        Assert.NotNull(await waits);
    }

    [Fact]
    public async Task Many_at_once_never_hold_more_than_the_budget_and_return_all()
    {
        const int budgetBytes = 1000;
        var whole = new MemoryBudget(budgetBytes);
        MemoryBudget[] parts = [whole.Part(700), whole.Part(500), whole];
        var (held, most) = (0L, 0L);
        await Parallel.ForEachAsync(Enumerable.Range(0, 3000), Stop, async (number, token) =>
        {
            var random = new Random(number);
            using var cancel = CancellationTokenSource.CreateLinkedTokenSource(token);
            if (number % 7 == 0)
            {
                cancel.CancelAfter(TimeSpan.FromMilliseconds(random.Next(3)));
            }

            try
            {
                using var share = await parts[number % 3].TakeAsync(
                    random.Next(1, 500), TimeSpan.FromMilliseconds(random.Next(1, 20)), TimeProvider.System, cancel.Token);
                if (share is not null)
                {
                    var now = Interlocked.Add(ref held, share.Bytes);
                    for (var seen = most; now > seen && Interlocked.CompareExchange(ref most, now, seen) != seen; seen = most)
                    {
                        // Another one has raised it.
                    }

                    await Task.Yield();
                    Interlocked.Add(ref held, -share.Bytes);
                }
            }
            catch (OperationCanceledException) when (cancel.IsCancellationRequested)
            {
                // As wanted.
            }
        });

        Assert.InRange(most, 1, budgetBytes);
        Assert.Equal((0, 0), (whole.Taken, whole.Waiting));
    }

    private Task<MemoryShare?> TakeAsync(MemoryBudget budget, long bytes) =>
        budget.TakeAsync(bytes, Patience, _time, Stop).AsTask();
}
