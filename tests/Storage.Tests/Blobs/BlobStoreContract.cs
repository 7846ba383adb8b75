using Registry.Storage.Blobs;
using Registry.Storage.Tests.Domain;

namespace Registry.Storage.Tests.Blobs;

/// <summary>What every store must do. A store's own tests only construct it; the suite fails if anything is left
/// behind.
/// </summary>
public abstract class BlobStoreContract : IAsyncLifetime
{
    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    protected abstract IBlobStore Store { get; }

    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (Store is null)
        {
            return; // the test was skipped
        }

        foreach (var entry in await ListAsync())
        {
            await Store.DeleteAsync(entry.Key, CancellationToken.None);
        }

        Assert.Empty(await ListAsync());
        Assert.Empty(Leftovers());
        Close();
    }

    [Fact]
    public async Task What_was_written_reads_back()
    {
        var key = NewKey();
        var data = Bytes(300_000);
        data.AsSpan(65_536, 131_072).Clear();
        var index = Bytes(5_000);
        await using (var writer = await Store.BeginAsync(key, data.Length, Cancellation))
        {
            await writer.AppendAsync(BlobPart.Data, data.AsMemory(0, 100_001), Cancellation);
            await writer.AppendAsync(BlobPart.Index, index.AsMemory(0, 1), Cancellation);
            await writer.AppendAsync(BlobPart.Data, data.AsMemory(100_001), Cancellation);
            await writer.AppendAsync(BlobPart.Index, index.AsMemory(1), Cancellation);
            var back = new byte[data.Length + 10];
            Assert.Equal(data.Length, await writer.ReadAsync(BlobPart.Data, 0, back, Cancellation));
            Assert.Equal(data, back[..data.Length]);
            await writer.CommitAsync(Cancellation);
        }

        Assert.Equal(new BlobStat(data.Length, index.Length), await Store.StatAsync(key, Cancellation));
        Assert.Equal(data, await ReadAsync(key, BlobPart.Data, 0, data.Length + 10));
        Assert.Equal(index, await ReadAsync(key, BlobPart.Index, 0, index.Length));
        Assert.Equal(data[200_000..200_100], await ReadAsync(key, BlobPart.Data, 200_000, 100));
        Assert.Empty(await ReadAsync(key, BlobPart.Data, data.Length, 10));
        Assert.Empty(await ReadAsync(key, BlobPart.Data, data.Length + 1_000_000, 10));
    }

    [Fact]
    public async Task Zeroes_at_the_end_are_part_of_the_blob()
    {
        var key = await WriteAsync(new byte[200_000]);
        Assert.Equal(200_000, (await Store.StatAsync(key, Cancellation))!.Value.DataLength);
        Assert.Equal(new byte[200_000], await ReadAsync(key, BlobPart.Data, 0, 300_000));
    }

    [Fact]
    public async Task A_blob_may_be_empty()
    {
        var key = await WriteAsync([]);
        Assert.Equal(0, (await Store.StatAsync(key, Cancellation))!.Value.DataLength);
    }

    [Fact]
    public async Task Nothing_is_visible_before_the_commit_and_nothing_is_left_without_one()
    {
        var key = NewKey();
        await using (var writer = await Store.BeginAsync(key, null, Cancellation))
        {
            await writer.AppendAsync(BlobPart.Data, Bytes(100_000), Cancellation);
            Assert.Null(await Store.StatAsync(key, Cancellation));
            await Assert.ThrowsAsync<BlobNotFoundException>(() => ReadAsync(key, BlobPart.Data, 0, 1));
            var entry = Assert.Single(await ListAsync());
            Assert.Equal((key, false), (entry.Key, entry.IsCommitted));
        }

        Assert.Empty(await ListAsync());
        Assert.Empty(Leftovers());
    }

    [Fact]
    public async Task Generations_of_an_image_lie_side_by_side()
    {
        var first = await WriteAsync([1]);
        var second = await WriteAsync([2], first with { Generation = 2 });
        Assert.Equal([first, second], (await ListAsync()).Select(e => e.Key).OrderBy(k => k.Generation));
        await Store.DeleteAsync(first, Cancellation);
        Assert.Equal([2], await ReadAsync(second, BlobPart.Data, 0, 10));
        await Assert.ThrowsAsync<BlobNotFoundException>(() => ReadAsync(first, BlobPart.Data, 0, 10));
    }

    [Fact]
    public async Task A_deleted_blob_is_gone_and_deleting_it_again_is_no_error()
    {
        var key = await WriteAsync(Bytes(1000));
        await ReadAsync(key, BlobPart.Data, 0, 10);
        await Store.DeleteAsync(key, Cancellation);
        await Store.DeleteAsync(key, Cancellation);
        Assert.Null(await Store.StatAsync(key, Cancellation));
        await Assert.ThrowsAsync<BlobNotFoundException>(() => ReadAsync(key, BlobPart.Data, 0, 10));
        Assert.Empty(Leftovers());
    }

    [Fact]
    public async Task A_half_written_blob_can_be_deleted_under_its_writer()
    {
        var key = NewKey();
        await using var writer = await Store.BeginAsync(key, null, Cancellation);
        await writer.AppendAsync(BlobPart.Data, Bytes(10), Cancellation);
        await Store.DeleteAsync(key, Cancellation);
        await Assert.ThrowsAnyAsync<IOException>(async () => await writer.CommitAsync(Cancellation));
        Assert.Null(await Store.StatAsync(key, Cancellation));
    }

    [Fact]
    public async Task A_blob_is_not_written_twice()
    {
        var key = await WriteAsync([1]);
        await Assert.ThrowsAnyAsync<IOException>(() => WriteAsync([2], key));
        Assert.Equal([1], await ReadAsync(key, BlobPart.Data, 0, 10));
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("12345678123412341234123456789abc")]
    [InlineData("")]
    public async Task Only_an_id_becomes_a_path(string id) =>
        await Assert.ThrowsAsync<ArgumentException>(async () => await Store.BeginAsync(new(id, 1), null, Cancellation));

    [Fact]
    public async Task Many_read_and_write_at_once()
    {
        var keys = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(() => WriteAsync([(byte)i]))));
        await Task.WhenAll(Enumerable.Range(0, 400).Select(i => Task.Run(async () =>
            Assert.Equal([(byte)(i % 40)], await ReadAsync(keys[i % 40], BlobPart.Data, 0, 5)))));
        await Task.WhenAll(keys.Select(key => Task.Run(() => Store.DeleteAsync(key, Cancellation).AsTask())));
    }

    /// <summary>Whatever the store keeps that no blob accounts for.</summary>
    protected abstract IReadOnlyList<string> Leftovers();

    protected virtual void Close()
    {
    }

    protected static BlobKey NewKey() => new(Images.NewId(), 1);

    protected static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    protected async Task<BlobKey> WriteAsync(byte[] data, BlobKey? key = null)
    {
        var written = key ?? NewKey();
        await using var writer = await Store.BeginAsync(written, data.Length, Cancellation);
        await writer.AppendAsync(BlobPart.Data, data, Cancellation);
        await writer.AppendAsync(BlobPart.Index, new byte[] { 1 }, Cancellation);
        await writer.CommitAsync(Cancellation);
        return written;
    }

    protected async Task<byte[]> ReadAsync(BlobKey key, BlobPart part, long offset, int length)
    {
        var buffer = new byte[length];
        return buffer[..await Store.ReadAsync(key, part, offset, buffer, Cancellation)];
    }

    protected async Task<List<BlobEntry>> ListAsync() =>
        await Store.ListAsync(CancellationToken.None).ToListAsync(CancellationToken.None);
}
