using Registry.Storage.Memory;

namespace Registry.Api;

/// <summary>Divides an amount of memory among concurrent streams: much for each while there are few, little when there are
/// many.</summary>
/// <remarks>Each gets the largest of a few sizes that is no more than half of what is left, if the budget has room for it,
/// else the least: that much is the caller's to take from the budget before it begins.</remarks>
/// <param name="together">Bytes to divide.</param>
/// <param name="sizes">Bytes of a share, the largest first. Few, because pools keep buffers of each size when others are
/// wanted.</param>
/// <param name="budget">Where the bytes beyond the least size are taken from.</param>
internal sealed class ByteShares(long together, int[] sizes, MemoryBudget budget)
{
    private readonly Lock _lock = new();
    private long _left = together;

    /// <summary>Bytes of the least share.</summary>
    public int Least => sizes[^1];

    /// <summary>Gives a share back and takes the one that is right now.</summary>
    /// <param name="bytes">The share held; 0 for none.</param>
    /// <param name="most">Bytes that will be used, where that is known to be little.</param>
    /// <returns>Bytes of the new share, never less than the least of the sizes.</returns>
    public int Exchange(int bytes, int most = int.MaxValue)
    {
        lock (_lock)
        {
            GiveBack(bytes);
            bytes = sizes.FirstOrDefault(
                size => size <= Math.Min(_left / 2, most) && budget.TryTake(Math.Max(0, size - Least)), Least);
            _left -= bytes;
            return bytes;
        }
    }

    /// <summary>Gives a share back.</summary>
    public void Return(int bytes)
    {
        lock (_lock)
        {
            GiveBack(bytes);
        }
    }

    private void GiveBack(int bytes)
    {
        _left += bytes;
        budget.Return(Math.Max(0, bytes - Least));
    }
}
