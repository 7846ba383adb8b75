using Microsoft.Extensions.Logging;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>Writes one blob of an S3 store: each segment is one request, sent when it is full while the next is filled.
/// </summary>
/// <remarks>
/// Commit, in this order:
/// 1. send what is left, wait until the store has everything;
/// 2. list what the store has: every segment with its length, and that the upload was not deleted meanwhile;
/// 3. write the record and read it back: the blob is there.
/// Disposing without commit removes everything. Memory is <see cref="S3Options.SegmentsHeld"/> segments and two chunks.
/// </remarks>
internal sealed partial class S3BlobWriter : IBlobWriter
{
    private const int ChecksMax = 2;
    private static readonly TimeSpan _cleanupMax = TimeSpan.FromSeconds(15);

    private readonly CancellationTokenSource _stop = new();
    private readonly S3BlobStore _store;
    private readonly S3Bucket _bucket;
    private readonly RemoteBytes _bytes;
    private readonly SegmentPool _pool;
    private readonly BlobKey _key;
    private readonly string _prefix;
    private readonly ILogger _logger;
    private readonly SegmentQueue _data;
    private readonly SegmentQueue _index;
    private bool _isCommitted;
    private bool _isDisposed;

    public S3BlobWriter(
        S3BlobStore store,
        S3Bucket bucket,
        RemoteBytes bytes,
        SegmentPool pool,
        S3Options options,
        BlobKey key,
        ILogger logger)
    {
        _store = store;
        _bucket = bucket;
        _bytes = bytes;
        _pool = pool;
        _pool.Enter();
        _key = key;
        _logger = logger;
        _prefix = BlobLayout.ObjectPrefix(options.Prefix, key);
        _data = new SegmentQueue(
            pool, options.SegmentBytes, options.SegmentsHeld, isShared: true, (n, s) => SendAsync(BlobPart.Data, n, s));
        _index = new SegmentQueue(
            pool, S3BlobStore.IndexSegmentBytes, 2, isShared: false, (n, s) => SendAsync(BlobPart.Index, n, s));
    }

    public ValueTask AppendAsync(BlobPart part, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return QueueOf(part).AppendAsync(bytes, cancellationToken);
    }

    public async ValueTask<int> ReadAsync(
        BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var queue = QueueOf(part);
        var read = 0;
        while (read < buffer.Length && offset + read < queue.Length)
        {
            var got = queue.ReadHeld(offset + read, buffer.Span[read..]);
            if (got == 0)
            {
                var (number, from) = Math.DivRem(offset + read, queue.SegmentBytes);
                var wanted = (int)Math.Min(buffer.Length - read, queue.SegmentBytes - from);
                got = await _bytes.ReadObjectAsync(
                    _key,
                    () => _bucket.SignGetAsync(_prefix + BlobLayout.SegmentName(part, number)),
                    from,
                    buffer.Slice(read, wanted),
                    cancellationToken).ConfigureAwait(false);
                if (got < wanted)
                {
                    throw new StoreUnavailableException(_store.Id, "lost bytes that it had taken", mayPass: true);
                }
            }

            read += got;
        }

        return read;
    }

    public async ValueTask CommitAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        await _data.FlushAsync(cancellationToken).ConfigureAwait(false);
        await _index.FlushAsync(cancellationToken).ConfigureAwait(false);
        await RequireStoredAsync(cancellationToken).ConfigureAwait(false);
        var record = new SegmentedBlob(_data.Length, _index.Length, _data.SegmentBytes, _index.SegmentBytes).ToBytes();
        await _bucket.PutAsync(_prefix + BlobLayout.Record, new S3SmallBody(record), cancellationToken)
            .ConfigureAwait(false);
        await RequireRecordAsync(record, cancellationToken).ConfigureAwait(false);
        _isCommitted = true;
        await RemoveAsync("mark of the upload", token => _bucket.RemoveAsync([_prefix + BlobLayout.Upload], token))
            .ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _data.CloseAsync().ConfigureAwait(false);
        await _index.CloseAsync().ConfigureAwait(false);
        _pool.Leave();
        _stop.Dispose();
        if (!_isCommitted)
        {
            await RemoveAsync("upload", token => _store.DeleteAsync(_key, token).AsTask()).ConfigureAwait(false);
        }
    }

    private SegmentQueue QueueOf(BlobPart part) => part == BlobPart.Data ? _data : _index;

    private Task SendAsync(BlobPart part, long number, SegmentBuffer segment) =>
        _bucket.PutAsync(_prefix + BlobLayout.SegmentName(part, number), segment, _stop.Token);

    // The blob exists from the record on: a store that acknowledged it and does not have it has no blob.
    private async Task RequireRecordAsync(byte[] record, CancellationToken cancellationToken)
    {
        var stored = new byte[record.Length + 1];
        for (var attempt = 1; ; attempt++)
        {
            var read = await _bytes.ReadObjectAsync(
                _key, () => _bucket.SignGetAsync(_prefix + BlobLayout.Record), 0, stored, cancellationToken)
                .ConfigureAwait(false);
            if (stored.AsSpan(0, read).SequenceEqual(record))
            {
                return;
            }

            if (attempt == ChecksMax)
            {
                throw new StoreUnavailableException(
                    _store.Id, "has another record of the blob than was sent", mayPass: true);
            }
        }
    }

    // A store that acknowledged bytes and has none of them, or fewer, is detected here and not at the first read. A list
    // has no checksum, so one that lacks something is read again.
    private async Task RequireStoredAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var found = (await _bucket.ListAllAsync(_prefix, cancellationToken).ConfigureAwait(false))
                .ToLookup(o => o.Name, o => o.Length, StringComparer.Ordinal);
            try
            {
                RequireStored(found);
                return;
            }
            catch (IOException) when (attempt < ChecksMax)
            {
                continue;
            }
        }
    }

    private void RequireStored(ILookup<string, long> found)
    {
        if (!found.Contains(_prefix + BlobLayout.Upload))
        {
            throw new IOException($"Blob {_key.ImageId}/{_key.Generation} was deleted while it was written.");
        }

        foreach (var part in (ReadOnlySpan<BlobPart>)[BlobPart.Data, BlobPart.Index])
        {
            var queue = QueueOf(part);
            for (var start = 0L; start < queue.Length; start += queue.SegmentBytes)
            {
                var name = _prefix + BlobLayout.SegmentName(part, start / queue.SegmentBytes);
                if (!found[name].Contains(Math.Min(queue.SegmentBytes, queue.Length - start)))
                {
                    throw new StoreUnavailableException(_store.Id, "lost bytes that it had taken", mayPass: true);
                }
            }
        }
    }

    // What matters has happened by now. What cannot be removed here, the reaper will find.
    private async Task RemoveAsync(string what, Func<CancellationToken, Task> remove)
    {
        using var limit = new CancellationTokenSource(_cleanupMax);
        try
        {
            await remove(limit.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            Log.LeftBehind(_logger, what, _key.ImageId, _key.Generation, _store.Id, exception);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "Could not remove the {What} {ImageId}/{Generation} from store {StoreId}; the reaper will")]
        public static partial void LeftBehind(
            ILogger logger, string what, string imageId, long generation, string storeId, Exception exception);
    }
}
