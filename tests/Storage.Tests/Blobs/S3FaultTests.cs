using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;
using Registry.Storage.Domain;
using Registry.Storage.Tests.Domain;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

/// <summary>What an S3 store makes of a server that fails.</summary>
public sealed class S3FaultTests : IAsyncLifetime
{
    private const int SegmentBytes = 4 * BlobIndex.BlockBytes;
    private const int SegmentsHeld = 3;
    private static readonly StorePatience _patience = new(TimeSpan.FromSeconds(0.6), TimeSpan.FromSeconds(2));

    private readonly FakeS3 _server = new();
    private readonly HeardLogger _logger = new();
    private readonly S3BlobStore _store;
    private readonly BlobKey _key = new(Images.NewId(), 1);
    private readonly byte[] _data = new byte[(5 * SegmentBytes) + 12_345];

    public S3FaultTests()
    {
        new Random(5).NextBytes(_data);
        _store = new S3BlobStore(
            "s1",
            new S3Options
            {
                Endpoint = _server.Endpoint,
                Region = CephS3.Region,
                Bucket = "bucket",
                AccessKey = CephS3.AccessKey,
                SecretKey = CephS3.SecretKey,
                SegmentBytes = SegmentBytes,
                SegmentsHeld = SegmentsHeld,
                Patience = _patience,
            },
            TimeProvider.System,
            _logger);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        Assert.DoesNotContain(_logger.Lines, line => line.Contains("X-Amz", StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain(_logger.Lines, line => line.Contains(CephS3.SecretKey, StringComparison.Ordinal));
        _store.Dispose();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Bursts_of_503_are_waited_out()
    {
        _server.Spoil("PUT", "data.1", S3Fault.SlowDown, 2);
        _server.Spoil("PUT", "/blob", S3Fault.SlowDown, 1);
        _server.Spoil("GET", "data.2", S3Fault.SlowDown, 3);
        await UploadAsync();
        Assert.Equal(_data, await ReadAsync());
        Assert.Equal(3, Count("PUT", "data.1"));
        Assert.Equal(4, Count("GET", "data.2"));
        Assert.Contains(_logger.Lines, line => line.Contains("answered 503 SlowDown", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_store_that_fails_for_good_is_given_up_after_five_attempts_and_the_upload_leaves_nothing()
    {
        _server.Spoil("PUT", "data.3", S3Fault.SlowDown);
        var e = await Assert.ThrowsAsync<StoreUnavailableException>(UploadAsync);
        Assert.True(e.MayPass);
        Assert.DoesNotContain("X-Amz", e.ToString(), StringComparison.OrdinalIgnoreCase);
        Assert.Equal(5, Count("PUT", "data.3"));
        Assert.Empty(await _store.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    [Fact]
    public async Task A_full_store_is_told_as_such_at_once()
    {
        _server.Spoil("PUT", "data.1", S3Fault.QuotaExceeded);
        await Assert.ThrowsAsync<StoreFullException>(UploadAsync);
        Assert.Equal(1, Count("PUT", "data.1"));
    }

    [Fact]
    public async Task A_truncated_answer_is_taken_up_where_it_broke_off()
    {
        await UploadAsync();
        _server.Spoil("GET", "data.0", S3Fault.Truncated, 2);
        Assert.Equal(_data, await ReadAsync());
        var ranges = _server.Requests.Where(r => r.Name.EndsWith("data.0", StringComparison.Ordinal) && r.Method == "GET")
            .Select(r => r.Range).ToArray();
        Assert.Equal(
            [$"bytes=0-{SegmentBytes - 1}", $"bytes={SegmentBytes / 2}-{SegmentBytes - 1}",
                $"bytes={SegmentBytes * 3 / 4}-{SegmentBytes - 1}"],
            ranges);
    }

    [Fact]
    public async Task An_answer_that_never_ends_whole_fails_the_read()
    {
        await UploadAsync();
        _server.Spoil("GET", "data.0", S3Fault.Truncated);
        await Assert.ThrowsAsync<StoreUnavailableException>(ReadAsync);
    }

    [Fact]
    public async Task A_flipped_bit_is_read_once_more_and_a_flipped_bit_again_is_damage()
    {
        var blob = await VerifiedBlob.OpenAsync(_store, await UploadAsync(), Cancellation);
        var buffer = new byte[100_000];
        _server.Spoil("GET", "data.1", S3Fault.BitFlip, 1);
        Assert.Equal(buffer.Length, await blob.ReadAsync(SegmentBytes, buffer, Cancellation));
        Assert.Equal(_data[SegmentBytes..(SegmentBytes + buffer.Length)], buffer);

        _server.Spoil("GET", "data.2", S3Fault.BitFlip);
        var e = await Assert.ThrowsAsync<BlobCorruptException>(
            async () => await blob.ReadAsync(2 * SegmentBytes, buffer.AsMemory(0, BlobIndex.BlockBytes), Cancellation));
        Assert.Equal((_key, BlobPart.Data, 2L * SegmentBytes), (e.Key, e.Part, e.Offset));
        Assert.Equal(2, Count("GET", "data.2"));
    }

    [Fact]
    public async Task Silence_ends_within_the_deadline_and_cancelling_ends_it_at_once()
    {
        await UploadAsync();
        _server.Spoil("GET", "data.0", S3Fault.Blackhole);
        var watch = Stopwatch.StartNew();
        var e = await Assert.ThrowsAsync<StoreUnavailableException>(ReadAsync);
        Assert.Contains("does not answer", e.Message, StringComparison.Ordinal);
        Assert.InRange(watch.Elapsed, _patience.Silence, _patience.Deadline + TimeSpan.FromSeconds(5));

        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        cancel.CancelAfter(TimeSpan.FromMilliseconds(50));
        watch.Restart();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            async () => await _store.ReadAsync(_key, BlobPart.Data, 0, new byte[10], cancel.Token));
        Assert.InRange(watch.Elapsed, TimeSpan.Zero, _patience.Silence);
        _server.Heal();
        Assert.Equal(_data, await ReadAsync());
    }

    [Fact]
    public async Task Bytes_that_come_slowly_come()
    {
        await UploadAsync();
        _server.Spoil("GET", "data.0", S3Fault.Slow, 1);
        Assert.Equal(_data, await ReadAsync());
        Assert.Equal(1, Count("GET", "data.0"));
    }

    [Fact]
    public async Task A_store_that_says_yes_and_keeps_nothing_is_found_out_before_the_commit()
    {
        _server.Spoil("PUT", "data.2", S3Fault.Forgotten);
        var e = await Assert.ThrowsAsync<StoreUnavailableException>(UploadAsync);
        Assert.Contains("lost bytes", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, Count("PUT", "/blob"));
    }

    [Fact]
    public async Task An_upload_sends_no_more_at_once_than_it_may_hold()
    {
        _server.WriteDelay = TimeSpan.FromMilliseconds(30);
        await UploadAsync();
        Assert.Equal(SegmentsHeld, _server.WritingMax); // the last one does not wait to be filled
        Assert.Equal(_data, await ReadAsync());
    }

    [Fact]
    public async Task A_blackhole_amid_an_upload_fails_it_and_a_cancelled_append_returns()
    {
        for (var segment = 0; segment < SegmentsHeld; segment++)
        {
            _server.Spoil("PUT", $"data.{segment}", S3Fault.Blackhole);
        }

        await using var writer = await _store.BeginAsync(_key, null, Cancellation);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        cancel.CancelAfter(TimeSpan.FromMilliseconds(100));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            async () => await writer.AppendAsync(BlobPart.Data, _data, cancel.Token));
        await Assert.ThrowsAsync<StoreUnavailableException>(async () => await writer.CommitAsync(Cancellation));
    }

    private int Count(string method, string ending) =>
        _server.Requests.Count(r => r.Method == method && r.Name.EndsWith(ending, StringComparison.Ordinal));

    private async Task<ImageLocation> UploadAsync()
    {
        await using var writer = await _store.BeginAsync(_key, null, Cancellation);
        var index = new BlobIndexWriter((page, token) => writer.AppendAsync(BlobPart.Index, page, token));
        for (var at = 0; at < _data.Length; at += 100_000)
        {
            var chunk = _data.AsMemory(at, Math.Min(100_000, _data.Length - at));
            await index.AppendAsync(chunk, Cancellation);
            await writer.AppendAsync(BlobPart.Data, chunk, Cancellation);
        }

        var root = await index.FinishAsync(Cancellation);
        await writer.CommitAsync(Cancellation);
        return new ImageLocation(
            _key, "s1", _data.Length, root.IndexLength, root.IndexDigest.Span, DateTimeOffset.UnixEpoch);
    }

    private async Task<byte[]> ReadAsync()
    {
        var buffer = new byte[_data.Length];
        Assert.Equal(buffer.Length, await _store.ReadAsync(_key, BlobPart.Data, 0, buffer, Cancellation));
        return buffer;
    }

    /// <summary>Keeps every line that is logged, of every level.</summary>
    private sealed class HeardLogger : ILogger<S3BlobStore>
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue($"{formatter(state, exception)} {exception}");
    }
}
