namespace Registry.Storage.Blobs.Cache;

/// <content>Reading through the cache. A stretch of blocks is cut into what is known, what somebody is fetching, and
/// what is missing; the caller fetches what is missing into his own buffer and writes it down, so that who asks
/// meanwhile waits for him and then reads the file. A reader never holds more than his own buffer.</content>
public sealed partial class BlockCache
{
    /// <summary>Fills a buffer with whole blocks, from the cache where it has them.</summary>
    /// <param name="key">The blob.</param>
    /// <param name="part">Its part.</param>
    /// <param name="start">Byte offset in the part, a multiple of 64 KiB.</param>
    /// <param name="blocks">Whole blocks; only a part's last may be short.</param>
    /// <param name="origin">Where they come from else, and whether they are right.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="IOException">The origin failed.</exception>
    internal async Task ReadAsync(
        BlobKey key, BlobPart part, long start, Memory<byte> blocks, BlockOrigin origin,
        CancellationToken cancellationToken)
    {
        for (var at = 0; at < blocks.Length;)
        {
            var (number, within) = Math.DivRem(start + at, CacheSegment.SpanBytes);
            var length = (int)Math.Min(blocks.Length - at, CacheSegment.SpanBytes - within);
            await ReadStretchAsync(
                new CacheName(key, part, number), start + at, blocks.Slice(at, length), origin, mayFill: true,
                cancellationToken).ConfigureAwait(false);
            at += length;
        }
    }

    /// <summary>Forgets a stretch that turned out not to be what was uploaded.</summary>
    internal void Forget(BlobKey key, BlobPart part, long from, long until)
    {
        for (var at = from; at < until;)
        {
            var (number, within) = Math.DivRem(at, CacheSegment.SpanBytes);
            var end = Math.Min(until, (number + 1) * CacheSegment.SpanBytes);
            CacheSegment? segment;
            lock (_lock)
            {
                segment = _segments.GetValueOrDefault(new CacheName(key, part, number));
            }

            if (segment is not null)
            {
                Forget(segment, (int)(within / BlobIndex.BlockBytes), BlocksIn(end - (number * CacheSegment.SpanBytes)));
            }

            at = end;
        }
    }

    private async Task ReadStretchAsync(
        CacheName name, long start, Memory<byte> blocks, BlockOrigin origin, bool mayFill,
        CancellationToken cancellationToken)
    {
        var first = (int)(start % CacheSegment.SpanBytes / BlobIndex.BlockBytes);
        var (segment, steps) = Take(name, first, first + BlocksIn(blocks.Length), mayFill);
        if (steps.Count == 1)
        {
            await StepAsync(segment, steps[0], start, blocks, origin, cancellationToken).ConfigureAwait(false);
            return;
        }

        // All at once: what the caller fetches for others must not wait for what others fetch for him. They write into
        // his buffer: none may outlive this call.
        var tasks = new Task[steps.Count];
        for (var i = 0; i < tasks.Length; i++)
        {
            var from = (steps[i].From - first) * BlobIndex.BlockBytes;
            var until = Math.Min(blocks.Length, (steps[i].Until - first) * BlobIndex.BlockBytes);
            tasks[i] = StepAsync(segment, steps[i], start + from, blocks[from..until], origin, cancellationToken);
        }

        await Task.WhenAll(tasks).ConfigureAwait(false);
    }

    private Task StepAsync(
        CacheSegment segment, CacheStep step, long start, Memory<byte> blocks, BlockOrigin origin,
        CancellationToken cancellationToken) => step.Kind switch
    {
        CacheStepKind.Kept => ReadKeptAsync(segment, step, start, blocks, origin, cancellationToken),
        CacheStepKind.Missing => FillAsync(segment, step.Fill!, start, blocks, origin, cancellationToken),
        CacheStepKind.Awaited => AwaitAsync(segment, step.Fill!, start, blocks, origin, cancellationToken),
        _ => origin.FetchAsync(start, blocks, cancellationToken),
    };

    private (CacheSegment Segment, List<CacheStep> Steps) Take(
        CacheName name, int from, int until, bool mayFill)
    {
        var now = _time.GetUtcNow();
        lock (_lock)
        {
            if (!_blobs.TryGetValue(name.Key, out var blob))
            {
                _blobs.Add(name.Key, blob = new CachedBlob(name.Key, ++_numbers, now));
            }

            if (_segments.TryGetValue(name, out var segment))
            {
                _lastUsedFirst.Remove(segment.Node);
            }
            else
            {
                segment = new CacheSegment(name, Path.Combine(_directory, name.FileName), blob) { NotedAt = now };
                _segments.Add(name, segment);
                blob.Segments.Add(segment);
            }

            _lastUsedFirst.AddFirst(segment.Node);
            blob.UsedAt = now;
            var steps = segment.Cut(from, until, mayFill && now >= _pausedUntil);
            RemoveIfEmpty(segment);
            return (segment, steps);
        }
    }

    // Reads what the cache has, and what of it is damaged once more by way of the origin.
    private async Task ReadKeptAsync(
        CacheSegment segment, CacheStep step, long start, Memory<byte> blocks, BlockOrigin origin,
        CancellationToken cancellationToken)
    {
        int good;
        if (await TryReadFileAsync(segment, step, blocks, cancellationToken).ConfigureAwait(false))
        {
            good = await origin.VerifyAsync(start, blocks, cancellationToken).ConfigureAwait(false);
            Interlocked.Add(ref _servedBytes, good);
            if (good == blocks.Length)
            {
                return;
            }

            var bad = step.From + (good / BlobIndex.BlockBytes);
            Log.Damaged(_logger, segment.Path, (long)bad * BlobIndex.BlockBytes);
            Forget(segment, bad, bad + 1);
        }
        else
        {
            good = 0;
            Forget(segment, step.From, step.Until);
        }

        await ReadStretchAsync(segment.Name, start + good, blocks[good..], origin, mayFill: true, cancellationToken)
            .ConfigureAwait(false);
    }

    private async Task<bool> TryReadFileAsync(
        CacheSegment segment, CacheStep step, Memory<byte> blocks, CancellationToken cancellationToken)
    {
        try
        {
            using var handle = DirectoryDisk.OpenRead(segment.Path);
            var got = handle is null
                ? 0
                : await DirectoryBlobStore.ReadFullyAsync(
                    handle, (long)step.From * BlobIndex.BlockBytes, blocks, cancellationToken).ConfigureAwait(false);
            blocks.Span[got..].Clear(); // a hole at the end is not in the file; whatever else it is, its digest tells
            Note(segment);
            return true;
        }
        catch (Exception e) when (DirectoryDisk.IsFailure(e))
        {
            Log.NotRead(_logger, segment.Path, e.Message);
            return false;
        }
    }

    // The next process wants to know what was used longest ago.
    private void Note(CacheSegment segment)
    {
        var now = _time.GetUtcNow();
        lock (_lock)
        {
            if (now - segment.NotedAt < NotedEvery)
            {
                return;
            }

            segment.NotedAt = now;
        }

        if (File.Exists(segment.Path))
        {
            File.SetLastAccessTimeUtc(segment.Path, now.UtcDateTime);
        }
    }

    private async Task AwaitAsync(
        CacheSegment segment, CacheFill fill, long start, Memory<byte> blocks, BlockOrigin origin,
        CancellationToken cancellationToken)
    {
        // What failed for one, or had to go at once, is not tried by all others one after another: each is where he would
        // be without a cache.
        var outcome = await fill.Done.WaitAsync(cancellationToken).ConfigureAwait(false);
        var read = outcome is FillOutcome.Failed or FillOutcome.NotKept
            ? origin.FetchAsync(start, blocks, cancellationToken)
            : ReadStretchAsync(
                segment.Name, start, blocks, origin, mayFill: outcome == FillOutcome.Abandoned, cancellationToken);
        await read.ConfigureAwait(false);
    }

    private void Forget(CacheSegment segment, int from, int until)
    {
        lock (_lock)
        {
            if (segment.IsGone)
            {
                return;
            }

            var count = segment.Forget(from, until);
            _blocks -= count;
            Interlocked.Add(ref _droppedBytes, (long)count * BlobIndex.BlockBytes);
        }
    }

    // The caller holds the lock.
    private bool RemoveIfEmpty(CacheSegment segment)
    {
        if (!segment.IsEmpty)
        {
            return false;
        }

        GiveUp(segment, []);
        return true;
    }

    private static int BlocksIn(long bytes) => (int)((bytes + BlobIndex.BlockBytes - 1) / BlobIndex.BlockBytes);
}
