using System.Diagnostics;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Engine.Raw;
using Registry.Engine.Tests.Oracle;

namespace Registry.Engine.Tests.Convert;

public sealed class DiskReaderTests
{
    private const int Size = 8 << 20;
    private static readonly byte[] Content = RandomBytes();

    [Fact]
    public async Task Every_byte_is_yielded_once_and_counted()
    {
        var totals = new DiskReadTotals();
        var options = Small with { Totals = totals };
        var seen = new byte[Size];
        await foreach (var item in DiskReader.ReadAsync(new RawImage(new MemoryBytes(Content)), options, Disk.Stop))
        {
            using var piece = item;
            piece.Data.CopyTo(seen.AsMemory((int)piece.Offset));
        }

        Assert.Equal(Content, seen);
        Assert.Equal(Size, totals.BytesYielded);
        Assert.Equal(Size, totals.BytesFetched);
        Assert.Equal(Size / options.MaxRangeBytes, totals.Ranges);
        Assert.Equal(0, totals.BuffersHeld);
    }

    [Fact]
    public async Task Only_the_range_asked_for_is_yielded()
    {
        var options = Small with { Start = 1000, Length = 300_001, Order = PieceOrder.Guest };
        var position = 1000L;
        await foreach (var item in DiskReader.ReadAsync(new RawImage(new MemoryBytes(Content)), options, Disk.Stop))
        {
            using var piece = item;
            Assert.Equal(position, piece.Offset);
            Assert.True(piece.Data.Span.SequenceEqual(Content.AsSpan((int)position, (int)piece.Length)));
            position += piece.Length;
        }

        Assert.Equal(301_001, position);
    }

    [Fact]
    public async Task Ranges_are_fetched_in_parallel_but_not_beyond_what_is_asked()
    {
        var source = new FaultySource(new MemoryBytes(Content)) { Delay = TimeSpan.FromMilliseconds(5) };
        await Drain(source, Small with { Parallelism = 6 });
        Assert.InRange(source.MostRunning, 3, 6);
    }

    [Fact]
    public async Task A_consumer_that_stops_reading_stops_the_fetching()
    {
        var source = new FaultySource(new MemoryBytes(Content));
        var totals = new DiskReadTotals();
        await using var pieces = DiskReader
            .ReadAsync(new RawImage(source), Small with { Parallelism = 3, Totals = totals }, Disk.Stop)
            .GetAsyncEnumerator(Disk.Stop);
        Assert.True(await pieces.MoveNextAsync());
        await Task.Delay(100, Disk.Stop);
        Assert.InRange(source.Reads, 1, 4);
        pieces.Current.Dispose();
    }

    [Fact]
    public async Task Breaking_off_gives_every_buffer_back()
    {
        var source = new FaultySource(new MemoryBytes(Content)) { Delay = TimeSpan.FromMilliseconds(20) };
        var totals = new DiskReadTotals();
        await foreach (var item in DiskReader.ReadAsync(
            new RawImage(source), Small with { Totals = totals }, Disk.Stop))
        {
            item.Dispose();
            break;
        }

        Assert.Equal(0, totals.BuffersHeld);
        Assert.Equal(0, source.Running);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(17)]
    public async Task A_failed_fetch_surfaces_as_itself(int read)
    {
        var totals = new DiskReadTotals();
        var source = new FaultySource(new MemoryBytes(Content)) { FailFrom = read };
        var error = await Assert.ThrowsAsync<IOException>(() => Drain(source, Small with { Totals = totals }));
        Assert.StartsWith("read ", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, totals.BuffersHeld);
        Assert.Equal(0, source.Running);
    }

    [Fact]
    public async Task A_failed_fetch_does_not_wait_for_slow_ones_before_it()
    {
        var source = new SlowFirstSource(Content);
        var watch = Stopwatch.StartNew();
        await Assert.ThrowsAsync<IOException>(() => Drain(source, Small));
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 10);
    }

    [Fact]
    public async Task A_source_that_ends_early_is_an_error()
    {
        var source = new FaultySource(new MemoryBytes(Content)) { ActualLength = Size - 1 };
        await Assert.ThrowsAsync<EndOfStreamException>(() => Drain(source, Small));
    }

    [Fact]
    public async Task Cancelling_ends_the_enumeration_and_gives_buffers_back()
    {
        using var stop = new CancellationTokenSource();
        var totals = new DiskReadTotals();
        var source = new FaultySource(new MemoryBytes(Content)) { Delay = TimeSpan.FromMilliseconds(10) };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var item in DiskReader.ReadAsync(
                new RawImage(source), Small with { Totals = totals }, stop.Token))
            {
                item.Dispose();
                await stop.CancelAsync();
            }
        });
        Assert.Equal(0, totals.BuffersHeld);
    }

    [Theory]
    [InlineData(false, 16, 16)] // what lies between is as large as a cluster: tables, or stale
    [InlineData(true, 1, 31)] // where asking once more is dear
    public async Task Neighbours_and_small_gaps_are_one_read(bool isRemote, int reads, int clusters)
    {
        // Guest order is the reverse of stored order; clusters are 64 KiB apart in pairs with gaps of 64 KiB.
        var extents = new List<Extent>();
        for (var i = 0; i < 16; i++)
        {
            extents.Add(new Extent(i * 65536L, 65536, ExtentKind.Data, (30 - (2 * i)) * 65536L, 65536));
        }

        var totals = new DiskReadTotals();
        var image = new ListedImage(new MemoryBytes(Content), extents);
        await foreach (var item in DiskReader.ReadAsync(
            image, (isRemote ? DiskReadOptions.Remote : DiskReadOptions.Default) with { Totals = totals }, Disk.Stop))
        {
            using var piece = item;
            Assert.True(piece.Data.Span.SequenceEqual(
                Content.AsSpan((int)extents[(int)(piece.Offset / 65536)].Offset, (int)piece.Length)));
        }

        Assert.Equal(reads, totals.Ranges);
        Assert.Equal(clusters * 65536, totals.BytesFetched);
        Assert.Equal(16 * 65536, totals.BytesYielded);
    }

    private static DiskReadOptions Small =>
        DiskReadOptions.Default with { MaxRangeBytes = 64 << 10, Parallelism = 4 };

    private static byte[] RandomBytes()
    {
        var bytes = new byte[Size];
        new Random(5).NextBytes(bytes);
        return bytes;
    }

    private static async Task Drain(Engine.Bytes.IByteSource source, DiskReadOptions options)
    {
        await foreach (var item in DiskReader.ReadAsync(new RawImage(source), options, Disk.Stop))
        {
            item.Dispose();
        }
    }

    /// <summary>The first read takes for ever, the second fails.</summary>
    private sealed class SlowFirstSource(byte[] bytes) : Engine.Bytes.IByteSource
    {
        public long Length => bytes.Length;

        public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
        {
            if (offset == 0)
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }

            throw new IOException("fails");
        }

        public ValueTask<Engine.Bytes.ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
            new(new Engine.Bytes.ByteRun(Length - offset, false));

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
