namespace Registry.Storage.Blobs;

/// <summary>What was read last, a bounded number of it; who asks for something that is being read waits for that read.
/// </summary>
/// <param name="capacity">Most results kept, 1 or more.</param>
internal sealed class SharedReads<TKey, TValue>(int capacity)
    where TKey : notnull
{
    private readonly Lock _lock = new();
    private readonly Dictionary<TKey, LinkedListNode<(TKey Key, Task<TValue> Read)>> _byKey = [];
    private readonly LinkedList<(TKey Key, Task<TValue> Read)> _lastUsedFirst = [];

    /// <summary>Gets the result of a read, reading only if it is not there and nobody is at it.</summary>
    /// <remarks>A read is everybody's who waits for it, so nobody's cancellation ends it; a failed one is
    /// forgotten.</remarks>
    public Task<TValue> GetAsync(TKey key, Func<TKey, Task<TValue>> read, CancellationToken cancellationToken)
    {
        TaskCompletionSource<TValue> source;
        lock (_lock)
        {
            if (_byKey.TryGetValue(key, out var known))
            {
                _lastUsedFirst.Remove(known);
                _lastUsedFirst.AddFirst(known);
                return known.Value.Read.IsCompletedSuccessfully
                    ? known.Value.Read
                    : known.Value.Read.WaitAsync(cancellationToken);
            }

            source = Add(key);
        }

        _ = RunAsync(key, read, source);
        return source.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Takes over a read that nobody has done or is at: who asks meanwhile waits for the caller, who must end
    /// the claim.</summary>
    /// <returns>Null when it is there, or somebody is at it.</returns>
    public Claim? TryClaim(TKey key)
    {
        lock (_lock)
        {
            return _byKey.ContainsKey(key) ? null : new Claim(this, key, Add(key));
        }
    }

    /// <summary>Keeps a result that came along with another, unless it is there.</summary>
    public void Keep(TKey key, TValue value) => TryClaim(key)?.Complete(value);

    /// <summary>Forgets a result: the next who asks reads anew.</summary>
    public void Drop(TKey key)
    {
        lock (_lock)
        {
            if (_byKey.Remove(key, out var known))
            {
                _lastUsedFirst.Remove(known);
            }
        }
    }

    private TaskCompletionSource<TValue> Add(TKey key)
    {
        var source = new TaskCompletionSource<TValue>(TaskCreationOptions.RunContinuationsAsynchronously);
        _byKey.Add(key, _lastUsedFirst.AddFirst((key, source.Task)));
        if (_byKey.Count > capacity)
        {
            _byKey.Remove(_lastUsedFirst.Last!.Value.Key);
            _lastUsedFirst.RemoveLast();
        }

        return source;
    }

    private async Task RunAsync(TKey key, Func<TKey, Task<TValue>> read, TaskCompletionSource<TValue> source)
    {
        try
        {
            source.SetResult(await read(key).ConfigureAwait(false));
        }
#pragma warning disable CA1031 // handed to everybody who waits
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Forget(key, source.Task);
            source.SetException(exception);
        }
    }

    private void Forget(TKey key, Task<TValue> read)
    {
        lock (_lock)
        {
            if (_byKey.TryGetValue(key, out var known) && known.Value.Read == read)
            {
                _byKey.Remove(key);
                _lastUsedFirst.Remove(known);
            }
        }
    }

    /// <summary>A read that its holder does for everybody.</summary>
    public sealed class Claim
    {
        private readonly SharedReads<TKey, TValue> _reads;
        private readonly TKey _key;
        private readonly TaskCompletionSource<TValue> _source;

        internal Claim(SharedReads<TKey, TValue> reads, TKey key, TaskCompletionSource<TValue> source) =>
            (_reads, _key, _source) = (reads, key, source);

        /// <summary>Hands the result to everybody who waits.</summary>
        public void Complete(TValue value) => _source.TrySetResult(value);

        /// <summary>Gives up: who waits reads for himself.</summary>
        public void GiveUp()
        {
            _reads.Forget(_key, _source.Task);
            _source.TrySetCanceled();
        }
    }
}
