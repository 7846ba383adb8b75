namespace Registry.Storage.Blobs.Cache;

/// <content>Adding to the cache: what a reader fetched is written down before it is told to those who wait.</content>
public sealed partial class BlockCache
{
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;

    /// <summary>Share of what is kept that is given up when the disk turns out to be full: one in so many.</summary>
    private const int FullShare = 8;

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
}
