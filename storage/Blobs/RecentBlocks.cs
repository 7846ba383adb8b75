using Registry.Storage.Memory;

namespace Registry.Storage.Blobs;

/// <summary>Verified blocks that one reader of a blob has just read, kept for the others that read it at the same time:
/// hosts that make the same disk together are one reader of the store.</summary>
/// <remarks>Blobs that have one reader cost nothing. Of others a bounded number of blocks is in memory, the youngest,
/// until the last reader leaves; whoever falls behind reads for himself. Who asks for what somebody is reading waits for
/// him. Each reader holds no more than his own buffer.</remarks>
/// <param name="blocksMax">Most blocks kept, of all blobs together.</param>
/// <param name="budget">Where their memory is taken from; null for no further limit.</param>
public sealed class RecentBlocks(int blocksMax, MemoryBudget? budget = null)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<BlobKey, int> _readers = [];
    private readonly Dictionary<(BlobKey Key, long Number), Block> _blocks = [];
    private readonly Queue<Block> _oldestFirst = new();
    private readonly Stack<byte[]> _spare = new();
    private int _count;

    /// <summary>Reads blocks from where they are kept for good.</summary>
    /// <param name="start">Byte offset of the first.</param>
    /// <param name="blocks">Where they go.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal delegate Task Fetch(long start, Memory<byte> blocks, CancellationToken cancellationToken);

    /// <summary>Bytes of blocks that are in memory, spare ones too.</summary>
    internal long Bytes
    {
        get
        {
            lock (_lock)
            {
                return (long)_count * BlobIndex.BlockBytes;
            }
        }
    }

    /// <summary>Counts one more reader of a blob, until what is returned is disposed.</summary>
    internal IDisposable Join(BlobKey key)
    {
        lock (_lock)
        {
            _readers[key] = _readers.GetValueOrDefault(key) + 1;
        }

        return new Reader(this, key);
    }

    /// <summary>Fills a buffer with whole blocks.</summary>
    /// <param name="key">The blob; the caller is one of its readers.</param>
    /// <param name="start">Byte offset, a multiple of 64 KiB.</param>
    /// <param name="blocks">Whole blocks; only a blob's last may be short.</param>
    /// <param name="fetch">Where they come from else.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="IOException">Fetching failed.</exception>
    internal Task ReadAsync(
        BlobKey key, long start, Memory<byte> blocks, Fetch fetch, CancellationToken cancellationToken) =>
        ReadAsync(new Stretch(key, start, blocks, fetch, cancellationToken), mayClaim: true);

    private Task ReadAsync(Stretch stretch, bool mayClaim)
    {
        List<Step>? steps;
        lock (_lock)
        {
            // The last of several finds what the others read, and keeps nothing for nobody.
            var isAlone = _readers.GetValueOrDefault(stretch.Key) < 2;
            steps = isAlone && _blocks.Count == 0 ? null : Cut(stretch, mayClaim && !isAlone);
        }

        // All at once: what the caller reads for others must not wait for what others read for him. They write into his
        // buffer: none may outlive this call.
        return steps switch
        {
            null => stretch.FetchAsync(),
            [var only] => StepAsync(stretch, only),
            _ => Task.WhenAll(steps.Select(step => StepAsync(stretch.Part(step), step))),
        };
    }

    private Task StepAsync(Stretch stretch, Step step)
    {
        switch (step)
        {
            case { Kept: { } kept }:
                Copy(stretch, kept);
                return Task.CompletedTask;
            case { Claim: { } claim }:
                return ClaimedAsync(stretch, claim);
            case { Awaited: { } awaited }:
                return AwaitAsync(stretch, awaited);
            default:
                return stretch.FetchAsync();
        }
    }

    // What is kept, what somebody is at, and what is nobody's yet: in runs. The caller holds the lock.
    private List<Step> Cut(Stretch stretch, bool mayClaim)
    {
        var steps = new List<Step>();
        var count = (stretch.Blocks.Length + BlobIndex.BlockBytes - 1) / BlobIndex.BlockBytes;
        for (var i = 0; i < count; i++)
        {
            var name = (stretch.Key, (stretch.Start / BlobIndex.BlockBytes) + i);
            var last = steps.Count > 0 ? steps[^1] : null;
            var block = _blocks.GetValueOrDefault(name);
            if (block is { Bytes: not null })
            {
                block.Users++;
                if (last?.Kept is null)
                {
                    steps.Add(last = new Step(i) { Kept = [] });
                }

                last.Kept.Add(block);
            }
            else if (block is { Claim: { } claim })
            {
                if (last is null || last.Awaited != claim)
                {
                    steps.Add(last = new Step(i) { Awaited = claim });
                }
            }
            else if (mayClaim)
            {
                if (last?.Claim is null)
                {
                    steps.Add(last = new Step(i) { Claim = new Claim() });
                }

                _blocks.Add(name, block = new Block(name) { Claim = last.Claim });
                last.Claim.Blocks.Add(block);
            }
            else if (last is not { IsFetched: true })
            {
                steps.Add(last = new Step(i));
            }

            last!.Count++;
        }

        return steps;
    }

    private void Copy(Stretch stretch, List<Block> kept)
    {
        for (var i = 0; i < kept.Count; i++)
        {
            var target = stretch.Blocks[(i * BlobIndex.BlockBytes)..];
            kept[i].Bytes.AsSpan(0, Math.Min(target.Length, BlobIndex.BlockBytes)).CopyTo(target.Span);
        }

        lock (_lock)
        {
            foreach (var block in kept)
            {
                block.Users--;
            }
        }
    }

    private async Task ClaimedAsync(Stretch stretch, Claim claim)
    {
        var outcome = Outcome.Failed;
        try
        {
            await stretch.FetchAsync().ConfigureAwait(false);
            Keep(stretch, claim);
            outcome = Outcome.Done;
        }
        catch (OperationCanceledException)
        {
            outcome = Outcome.GivenUp;
            throw;
        }
        finally
        {
            lock (_lock)
            {
                foreach (var block in claim.Blocks.Where(block => block.Bytes is null))
                {
                    _blocks.Remove(block.Name);
                }
            }

            claim.Ended.SetResult(outcome);
        }
    }

    private async Task AwaitAsync(Stretch stretch, Claim claim)
    {
        // What failed for one is not tried by all others one after another.
        var outcome = await claim.Ended.Task.WaitAsync(stretch.Cancellation).ConfigureAwait(false);
        await (outcome == Outcome.Failed ? stretch.FetchAsync() : ReadAsync(stretch, outcome == Outcome.GivenUp))
            .ConfigureAwait(false);
    }

    private void Keep(Stretch stretch, Claim claim)
    {
        var taken = new List<byte[]>();
        lock (_lock)
        {
            while (taken.Count < claim.Blocks.Count && TryTake() is { } bytes)
            {
                taken.Add(bytes);
            }
        }

        for (var i = 0; i < taken.Count; i++)
        {
            var source = stretch.Blocks.Span[(i * BlobIndex.BlockBytes)..];
            source[..Math.Min(source.Length, BlobIndex.BlockBytes)].CopyTo(taken[i]);
        }

        lock (_lock)
        {
            for (var i = 0; i < taken.Count; i++)
            {
                claim.Blocks[i].Bytes = taken[i];
                _oldestFirst.Enqueue(claim.Blocks[i]);
            }
        }
    }

    // Memory for one block more; the caller holds the lock.
    private byte[]? TryTake()
    {
        if (_spare.TryPop(out var spare))
        {
            return spare;
        }

        if (_count < blocksMax && budget?.TryTake(BlobIndex.BlockBytes) is not false)
        {
            _count++;
            return GC.AllocateUninitializedArray<byte>(BlobIndex.BlockBytes);
        }

        for (var tries = _oldestFirst.Count; tries > 0; tries--)
        {
            var block = _oldestFirst.Dequeue();
            if (block.Users == 0)
            {
                _blocks.Remove(block.Name);
                return block.Bytes;
            }

            _oldestFirst.Enqueue(block);
        }

        return null;
    }

    // With its last reader all that is kept of a blob goes, and all memory with the last blob.
    private void Leave(BlobKey key)
    {
        lock (_lock)
        {
            if ((_readers[key] -= 1) > 0)
            {
                return;
            }

            _readers.Remove(key);
            for (var turns = _oldestFirst.Count; turns > 0; turns--)
            {
                var block = _oldestFirst.Dequeue();
                if (block.Name.Key != key || block.Users > 0)
                {
                    _oldestFirst.Enqueue(block);
                    continue;
                }

                _blocks.Remove(block.Name);
                _spare.Push(block.Bytes!);
            }

            if (_oldestFirst.Count == 0)
            {
                _count -= _spare.Count;
                budget?.Return((long)_spare.Count * BlobIndex.BlockBytes);
                _spare.Clear();
            }
        }
    }

    private enum Outcome
    {
        Done,
        GivenUp,
        Failed,
    }

    private sealed class Reader(RecentBlocks blocks, BlobKey key) : IDisposable
    {
        private bool _hasLeft;

        public void Dispose()
        {
            if (!Interlocked.Exchange(ref _hasLeft, true))
            {
                blocks.Leave(key);
            }
        }
    }

    /// <summary>A block that is kept, or that somebody reads.</summary>
    private sealed class Block((BlobKey Key, long Number) name)
    {
        public (BlobKey Key, long Number) Name { get; } = name;

        public Claim? Claim { get; init; }

        public byte[]? Bytes { get; set; }

        /// <summary>How many copy it just now.</summary>
        public int Users { get; set; }
    }

    /// <summary>Blocks that somebody reads, for everybody.</summary>
    private sealed class Claim
    {
        public List<Block> Blocks { get; } = [];

        public TaskCompletionSource<Outcome> Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Blocks that follow each other and are got in the same way.</summary>
    private sealed class Step(int first)
    {
        public int First => first;

        public int Count { get; set; }

        public List<Block>? Kept { get; init; }

        public Claim? Claim { get; init; }

        public Claim? Awaited { get; init; }

        public bool IsFetched => Kept is null && Claim is null && Awaited is null;
    }

    /// <summary>What is wanted.</summary>
    private readonly record struct Stretch(
        BlobKey Key, long Start, Memory<byte> Blocks, Fetch Fetch, CancellationToken Cancellation)
    {
        public Task FetchAsync() => Fetch(Start, Blocks, Cancellation);

        public Stretch Part(Step step)
        {
            var (from, most) = (step.First * BlobIndex.BlockBytes, step.Count * BlobIndex.BlockBytes);
            return this with
            {
                Start = Start + from,
                Blocks = Blocks.Slice(from, Math.Min(most, Blocks.Length - from)),
            };
        }
    }
}
