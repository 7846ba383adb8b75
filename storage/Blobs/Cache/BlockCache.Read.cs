namespace Registry.Storage.Blobs.Cache;

/// <content>Reading through the cache. A stretch of blocks is cut into what is known, what somebody is fetching, and
/// what is missing; the caller fetches what is missing into his own buffer and writes it down, so that who asks
/// meanwhile waits for him and then reads the file. A reader never holds more than his own buffer.</content>
public sealed partial class BlockCache
{
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;

    /// <summary>Share of what is kept that is given up when the disk turns out to be full: one in so many.</summary>
    private const int FullShare = 8;

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
                new CacheName(key, part, number), start + at, blocks.Slice(at, length), origin, cancellationToken)
                .ConfigureAwait(false);
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
        CacheName name, long start, Memory<byte> blocks, BlockOrigin origin, CancellationToken cancellationToken)
    {
        var first = (int)(start % CacheSegment.SpanBytes / BlobIndex.BlockBytes);
        var (segment, steps) = Take(name, first, first + BlocksIn(blocks.Length));
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

    private (CacheSegment Segment, List<CacheStep> Steps) Take(CacheName name, int from, int until)
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
            var steps = segment.Cut(from, until, mayFill: now >= _pausedUntil);
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

        await ReadStretchAsync(segment.Name, start + good, blocks[good..], origin, cancellationToken)
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
        // What failed for one is not tried by all others one after another: each is where it would be without a cache.
        var outcome = await fill.Done.WaitAsync(cancellationToken).ConfigureAwait(false);
        var read = outcome is FillOutcome.Failed or FillOutcome.NotKept
            ? origin.FetchAsync(start, blocks, cancellationToken)
            : ReadStretchAsync(segment.Name, start, blocks, origin, cancellationToken);
        await read.ConfigureAwait(false);
    }

    private async Task FillAsync(
        CacheSegment segment, CacheFill fill, long start, Memory<byte> blocks, BlockOrigin origin,
        CancellationToken cancellationToken)
    {
        var outcome = FillOutcome.Failed;
        try
        {
            await origin.FetchAsync(start, blocks, cancellationToken).ConfigureAwait(false);
            outcome = await TryWriteAsync(segment, fill, blocks).ConfigureAwait(false)
                ? FillOutcome.Kept
                : FillOutcome.NotKept;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            outcome = FillOutcome.Abandoned;
            throw;
        }
        finally
        {
            End(segment, fill, outcome);
        }
    }

    private async Task<bool> TryWriteAsync(CacheSegment segment, CacheFill fill, ReadOnlyMemory<byte> blocks)
    {
        var data = DataIn(fill.From, blocks.Span);
        var count = data.Sum(run => run.Until - run.From);
        if (!TryReserve(segment, count))
        {
            return false;
        }

        try
        {
            if (count > 0)
            {
                var file = CacheFile.OpenWrite(segment.Path);
                await using var disposal = file.ConfigureAwait(false);
                foreach (var (from, until) in data)
                {
                    var at = (from - fill.From) * BlobIndex.BlockBytes;
                    var end = Math.Min(blocks.Length, (until - fill.From) * BlobIndex.BlockBytes);
                    await RandomAccess.WriteAsync(
                        file.SafeFileHandle, blocks[at..end], (long)from * BlobIndex.BlockBytes, CancellationToken.None)
                        .ConfigureAwait(false);
                }
            }

            fill.Data = data;
            Interlocked.Add(ref _addedBytes, (long)count * BlobIndex.BlockBytes);
            return true;
        }
        catch (Exception e) when (DirectoryDisk.IsFailure(e))
        {
            Refused(segment, count, e);
            return false;
        }
    }

    private bool TryReserve(CacheSegment segment, int count)
    {
        var dropped = new List<CacheSegment>();
        var isKept = false;
        lock (_lock)
        {
            while (_blocks + count > _blocksMax && _lastUsedFirst.Last is { } last && last.Value != segment)
            {
                GiveUp(last.Value, dropped);
            }

            if (!segment.IsGone && _blocks + count <= _blocksMax)
            {
                segment.DataBlocks += count;
                _blocks += count;
                isKept = true;
            }
        }

        Remove(dropped, 0);
        return isKept;
    }

    private void Refused(CacheSegment segment, int count, Exception failure)
    {
        var now = _time.GetUtcNow();
        bool isNew;
        long kept;
        lock (_lock)
        {
            if (!segment.IsGone)
            {
                segment.DataBlocks -= count;
                _blocks -= count;
            }

            isNew = now >= _pausedUntil;
            _pausedUntil = now + Pause;
            kept = _blocks;
        }

        if (isNew)
        {
            Log.Paused(_logger, Pause.TotalSeconds, failure.Message);
            if (failure is IOException { HResult: NoSpace or QuotaExceeded })
            {
                Prune(kept - (kept / FullShare)); // others want the disk too
            }
        }
    }

    private void End(CacheSegment segment, CacheFill fill, FillOutcome outcome)
    {
        string? leftover = null;
        lock (_lock)
        {
            segment.End(fill, outcome == FillOutcome.Kept && !segment.IsGone);
            if (segment.IsGone)
            {
                leftover = _segments.ContainsKey(segment.Name) ? null : segment.Path; // it may have been made anew
            }
            else
            {
                segment.Blob.ModifiedAt = outcome == FillOutcome.Kept ? _time.GetUtcNow() : segment.Blob.ModifiedAt;
                leftover = RemoveIfEmpty(segment) ? segment.Path : null;
            }
        }

        if (leftover is not null)
        {
            Remove(leftover);
        }

        fill.End(outcome);
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

    // Runs of blocks, numbered as in the segment, that are not all zeroes.
    private static List<(int From, int Until)> DataIn(int first, ReadOnlySpan<byte> blocks)
    {
        var runs = new List<(int From, int Until)>(1);
        for (var at = 0; at < blocks.Length; at += BlobIndex.BlockBytes)
        {
            if (!blocks.Slice(at, Math.Min(BlobIndex.BlockBytes, blocks.Length - at)).ContainsAnyExcept((byte)0))
            {
                continue;
            }

            var block = first + (at / BlobIndex.BlockBytes);
            if (runs.Count > 0 && runs[^1].Until == block)
            {
                runs[^1] = (runs[^1].From, block + 1);
            }
            else
            {
                runs.Add((block, block + 1));
            }
        }

        return runs;
    }

    private static int BlocksIn(long bytes) => (int)((bytes + BlobIndex.BlockBytes - 1) / BlobIndex.BlockBytes);
}
