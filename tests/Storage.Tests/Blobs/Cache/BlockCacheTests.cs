using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Cache;

namespace Registry.Storage.Tests.Blobs.Cache;

public sealed class BlockCacheTests : IDisposable
{
    private const int Block = BlobIndex.BlockBytes;
    private readonly CacheLab _lab = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _lab.Dispose();

    [Fact]
    public async Task Many_readers_at_once_ask_the_store_for_each_block_once()
    {
        var data = CacheLab.Noise((4 << 20) + 12_345);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        store.BeforeRead = async (_, _) => await Task.Yield();
        await Task.WhenAll(Enumerable.Range(0, 50).Select(n => Task.Run(
            () => _lab.ReadAllAsync(store, location, data, chunk: n % 2 == 0 ? 512 << 10 : (512 << 10) - 777), Stop)));
        Assert.Equal(data.Length, CacheLab.Asked(store));
        Assert.Equal(location.IndexLength, CacheLab.Asked(store, BlobPart.Index));
    }

    [Fact]
    public async Task What_is_cached_is_read_without_the_store_after_a_restart_too()
    {
        var data = CacheLab.Noise(3 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length], map: data[..100_000]);
        await _lab.ReadAllAsync(store, location, data);
        store.BeforeRead = (_, _) => throw new IOException("the store is away");
        await _lab.ReadAllAsync(store, location, data, chunk: 100_001);
        _lab.Restart();
        await _lab.ReadAllAsync(store, location, data, chunk: 1 << 20);
        var entry = Assert.Single(_lab.Cache.List());
        Assert.Equal((location.Key, true), (entry.Key, entry.IsWhole));
        Assert.InRange(entry.Bytes, data.Length, data.Length + (4 * Block));
        Assert.Equal(entry.Bytes, _lab.Cache.Bytes);
    }

    [Fact]
    public async Task Zeroes_take_no_room_and_an_image_of_which_only_they_miss_is_whole()
    {
        var data = new byte[80 << 20];
        CacheLab.Noise(300_000).CopyTo(data, 0);
        CacheLab.Noise(300_000).CopyTo(data, 70 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        await _lab.ReadAllAsync(store, location, data);
        Assert.InRange(_lab.DiskBytes, 600_000, 2_000_000);
        Assert.InRange(_lab.Cache.Bytes, 600_000, 2_000_000);
        _lab.Restart();
        Assert.Null(Assert.Single(_lab.Cache.List()).IsWhole); // nobody has asked its index yet
        var asked = store.Reads.Count;
        await _lab.ReadAllAsync(store, location, data);
        Assert.Equal(asked, store.Reads.Count);
        Assert.True(Assert.Single(_lab.Cache.List()).IsWhole);
    }

    [Fact]
    public async Task An_image_that_was_read_in_part_is_not_whole()
    {
        var data = CacheLab.Noise(2 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        var blob = await _lab.OpenAsync(store, location);
        var buffer = new byte[Block];
        await blob.ReadAsync(3 * Block, buffer, Stop);
        await _lab.OpenAsync(store, location);
        Assert.False(Assert.Single(_lab.Cache.List()).IsWhole);
        Assert.Equal(Block, CacheLab.Asked(store)); // and no more than was wanted is fetched
    }

    [Fact]
    public async Task What_was_used_longest_ago_makes_room()
    {
        using var lab = new CacheLab(maxBytes: 4 << 20);
        var blobs = Enumerable.Range(1, 3).Select(seed =>
        {
            var data = CacheLab.Noise(3 << 19, seed); // three of them are more than there is room for
            var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
            return (Data: data, Store: store, Location: location);
        }).ToList();
        foreach (var n in new[] { 0, 1, 0, 2 })
        {
            lab.Time.Advance(TimeSpan.FromMinutes(5));
            await lab.ReadAllAsync(blobs[n].Store, blobs[n].Location, blobs[n].Data);
            Assert.InRange(lab.Cache.Bytes, 1, 4 << 20);
            Assert.InRange(lab.DiskBytes, 1, 4 << 20);
        }

        lab.Restart();
        foreach (var (n, times) in new[] { (0, 1), (2, 1), (1, 2) })
        {
            await lab.ReadAllAsync(blobs[n].Store, blobs[n].Location, blobs[n].Data);
            Assert.Equal(times * blobs[n].Data.Length, CacheLab.Asked(blobs[n].Store));
        }
    }

    [Fact]
    public async Task A_blob_larger_than_the_cache_is_read_all_the_same()
    {
        using var lab = new CacheLab(maxBytes: 1 << 20);
        var data = CacheLab.Noise(5 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        for (var round = 0; round < 3; round++)
        {
            await lab.ReadAllAsync(store, location, data);
            Assert.InRange(lab.Cache.Bytes, 1, 1 << 20);
        }
    }

    [Fact]
    public async Task What_is_dropped_leaves_no_file_and_readers_go_on()
    {
        var data = CacheLab.Noise(2 << 20);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        var (other, elsewhere) = VerifiedBlobTests.Write(data, [data.Length]);
        await _lab.ReadAllAsync(other, elsewhere, data);
        var blob = await _lab.OpenAsync(store, location);
        var buffer = new byte[1 << 20];
        await blob.ReadAsync(0, buffer, Stop);
        var dropped = _lab.Cache.Drop(key => key == location.Key);
        Assert.Equal((1, 2), (dropped.Blobs, dropped.Files));
        Assert.All(_lab.Files, file => Assert.Contains(elsewhere.ImageId, file, StringComparison.Ordinal));
        Assert.Equal(1 << 20, await blob.ReadAsync(1 << 20, buffer, Stop));
        Assert.True(data.AsSpan(1 << 20).SequenceEqual(buffer));
        Assert.True(_lab.Cache.Drop(_ => true).Bytes > 2 << 20);
        Assert.Empty(_lab.Files);
        Assert.Equal(0, _lab.Cache.Bytes);
    }

    [Fact]
    public async Task Who_waits_for_a_reader_that_leaves_fetches_himself()
    {
        var data = CacheLab.Noise(Block);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        var blobs = (First: await _lab.OpenAsync(store, location), Second: await _lab.OpenAsync(store, location));
        await blobs.First.RunAsync(0, Stop); // their pages of the index are here
        await blobs.Second.RunAsync(0, Stop);
        var asked = new TaskCompletionSource();
        using var leaves = new CancellationTokenSource();
        store.BeforeRead = async (_, token) =>
        {
            asked.TrySetResult();
            await Task.Delay(Timeout.Infinite, token);
        };
        var first = blobs.First.ReadAsync(0, new byte[Block], leaves.Token).AsTask();
        await asked.Task;
        var buffer = new byte[Block];
        var second = blobs.Second.ReadAsync(0, buffer, Stop).AsTask();
        store.BeforeRead = null;
        await leaves.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        Assert.Equal(Block, await second);
        Assert.Equal(data, buffer);
        Assert.Equal(2, store.Reads.Count(read => read.Part == BlobPart.Data));
    }

    [Fact]
    public async Task Who_waits_for_a_reader_that_fails_fails_or_not_by_himself()
    {
        var data = CacheLab.Noise(Block);
        var (store, location) = VerifiedBlobTests.Write(data, [data.Length]);
        var blobs = new List<VerifiedBlob>();
        for (var n = 0; n < 20; n++)
        {
            blobs.Add(await _lab.OpenAsync(store, location));
            await blobs[n].RunAsync(0, Stop);
        }

        var asked = new TaskCompletionSource();
        var fails = new TaskCompletionSource();
        store.BeforeRead = async (_, _) =>
        {
            asked.TrySetResult();
            await fails.Task;
            throw new IOException("the store is away");
        };
        var reads = blobs.Select(blob => blob.ReadAsync(0, new byte[Block], Stop).AsTask()).ToList();
        await asked.Task;
        Assert.Equal(1, store.Reads.Count(read => read.Part == BlobPart.Data));
        fails.SetResult();
        foreach (var read in reads)
        {
            await Assert.ThrowsAsync<IOException>(() => read);
        }

        store.BeforeRead = null;
        await _lab.ReadAllAsync(store, location, data);
    }

    [Fact]
    public void A_directory_that_another_process_uses_is_refused()
    {
        var refused = Assert.ThrowsAny<IOException>(() => new CacheLab(directory: _lab.Directory));
        Assert.Contains("lock", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_of_files_are_read_back_and_others_are_not_ours()
    {
        var name = new CacheName(new BlobKey("00000000-0000-4000-8000-00000000000a", 7), BlobPart.Index, 12);
        Assert.Equal("00000000-0000-4000-8000-00000000000a.7.index.12", name.FileName);
        Assert.True(CacheName.TryParse(name.FileName, out var read));
        Assert.Equal(name, read);
        foreach (var other in new[]
        {
            "", "lock", "00000000-0000-4000-8000-00000000000a.7.index", "00000000-0000-4000-8000-00000000000a.7.index.012",
            "00000000-0000-4000-8000-00000000000a.0.data.1", "00000000-0000-4000-8000-00000000000a.7.other.1",
            "../00000000-0000-4000-8000-00000000000a.7.data.1", "00000000-0000-4000-8000-00000000000a.7.data.-1",
        })
        {
            Assert.False(CacheName.TryParse(other, out _), other);
        }
    }
}
