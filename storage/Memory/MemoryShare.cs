namespace Registry.Storage.Memory;

/// <summary>Bytes taken from a <see cref="MemoryBudget"/>, returned on disposal.</summary>
/// <remarks>Disposal may be repeated and may race with itself; growing and disposal may not.</remarks>
public sealed class MemoryShare : IDisposable
{
    private readonly MemoryBudget _budget;
    private long _bytes;
    private IDisposable? _attached;

    internal MemoryShare(MemoryBudget budget, long bytes) => (_budget, _bytes) = (budget, bytes);

    /// <summary>Bytes held.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Ties something to the bytes that is disposed after them; null for nothing.</summary>
    public void Attach(IDisposable? attached) => _attached = attached;

    /// <summary>Takes further bytes where there is room.</summary>
    /// <param name="bytes">Bytes, 0 or more.</param>
    /// <returns>Whether they were taken.</returns>
    public bool TryGrow(long bytes)
    {
        if (!_budget.TryTake(bytes))
        {
            return false;
        }

        Interlocked.Add(ref _bytes, bytes);
        return true;
    }

    /// <summary>Returns a part of the bytes early.</summary>
    /// <param name="bytes">Bytes, no more than <see cref="Bytes"/>.</param>
    public void Shrink(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, Bytes);
        Interlocked.Add(ref _bytes, -bytes);
        _budget.Return(bytes);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        var bytes = Interlocked.Exchange(ref _bytes, 0);
        if (bytes > 0)
        {
            _budget.Return(bytes);
        }

        Interlocked.Exchange(ref _attached, null)?.Dispose();
    }
}
