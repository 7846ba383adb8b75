using Registry.Storage.Blobs;

namespace Registry.Storage.Tests.Blobs;

public sealed class RecentBlocksTests
{
    private const int Block = BlobIndex.BlockBytes;
    private static readonly BlobKey Key = new("2c1a7b3e-52f1-4f0a-9f5b-0d4c7f9a1e11", 1);

    private readonly byte[] _data = new byte[(40 * Block) + 777];
    private long _fetched;

    public RecentBlocksTests() => new Random(7).NextBytes(_data);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task One_reader_costs_no_memory()
    {
        var recent = new RecentBlocks(16);
        using var reader = recent.Join(Key);
        await CheckAsync(recent, 0, 8);
        await CheckAsync(recent, 0, 8);
        Assert.Equal(0, recent.Bytes);
        Assert.Equal(16 * Block, _fetched);
    }

    [Fact]
    public async Task Readers_of_the_same_blob_fetch_it_once_and_the_last_one_finds_what_the_others_left()
    {
        var recent = new RecentBlocks(64);
        using (recent.Join(Key))
        {
            using (recent.Join(Key))
            {
                await CheckAsync(recent, 0, 20);
                await CheckAsync(recent, 10, 25); // the second half is new
            }

            await CheckAsync(recent, 0, 35);
            Assert.Equal(35 * Block, _fetched);
            Assert.Equal(35 * Block, recent.Bytes);
            await CheckAsync(recent, 30, 11); // with the short last block, which is kept for nobody
            Assert.Equal(_data.Length, _fetched);
            Assert.Equal(35 * Block, recent.Bytes);
        }

        Assert.Equal(0, recent.Bytes);
    }

    [Fact]
    public async Task Many_readers_in_any_order_get_what_is_right_and_no_more_is_kept_than_may_be()
    {
        var recent = new RecentBlocks(12);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(seed => Task.Run(async () =>
        {
            using var reader = recent.Join(Key);
            var random = new Random(seed);
            for (var i = 0; i < 300; i++)
            {
                var from = random.Next(41);
                await CheckAsync(recent, from, Math.Min(random.Next(1, 9), 41 - from), random.Next(3));
                Assert.InRange(recent.Bytes, 0, 12 * Block);
            }
        })));
        Assert.Equal(0, recent.Bytes);
    }

    [Fact]
    public async Task Who_asks_for_what_is_being_read_waits_for_it()
    {
        var recent = new RecentBlocks(16);
        using var first = recent.Join(Key);
        using var second = recent.Join(Key);
        var (begun, goOn) = (new TaskCompletionSource(), new TaskCompletionSource());
        var leading = recent.ReadAsync(Key, 0, new byte[4 * Block], async (start, blocks, token) =>
        {
            begun.SetResult();
            await goOn.Task;
            await FetchAsync(start, blocks, token);
        }, Stop);
        await begun.Task;
        var following = CheckAsync(recent, 2, 4);
        Assert.False(following.IsCompleted);
        goOn.SetResult();
        await Task.WhenAll(leading, following);
        Assert.Equal(6 * Block, _fetched);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_fails_for_one_is_read_by_who_waits_for_it(bool isCancelled)
    {
        var recent = new RecentBlocks(16);
        using var first = recent.Join(Key);
        using var second = recent.Join(Key);
        var (begun, fail) = (new TaskCompletionSource(), new TaskCompletionSource());
        var leading = recent.ReadAsync(Key, 0, new byte[4 * Block], async (_, _, _) =>
        {
            begun.SetResult();
            await fail.Task;
        }, Stop);
        await begun.Task;
        var following = CheckAsync(recent, 0, 4);
        fail.SetException(isCancelled ? new OperationCanceledException() : new IOException("away"));
        await Assert.ThrowsAnyAsync<Exception>(() => leading);
        await following;
        await CheckAsync(recent, 0, 4);
        Assert.InRange(_fetched, 4 * Block, isCancelled ? 4 * Block : 8 * Block);
    }

    private async Task CheckAsync(RecentBlocks recent, int from, int count, int delay = 0)
    {
        var start = from * Block;
        var blocks = new byte[Math.Min(count * Block, _data.Length - start)];
        await recent.ReadAsync(Key, start, blocks, async (at, part, token) =>
        {
            await Task.Delay(delay, token);
            await FetchAsync(at, part, token);
        }, Stop);
        Assert.True(blocks.AsSpan().SequenceEqual(_data.AsSpan(start, blocks.Length)));
    }

    private Task FetchAsync(long start, Memory<byte> blocks, CancellationToken cancellationToken)
    {
        Interlocked.Add(ref _fetched, blocks.Length);
        _data.AsMemory((int)start, blocks.Length).CopyTo(blocks);
        return Task.CompletedTask;
    }
}
