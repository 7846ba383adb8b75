namespace Registry.Api;

/// <summary>Divides an amount of memory among those who work at once: much for each while there are few, little when there are
/// many.</summary>
/// <remarks>Each gets the largest of a few sizes that is no more than half of what is left, else the least: who comes when all
/// is given away goes beyond the amount.</remarks>
/// <param name="together">Bytes to divide.</param>
/// <param name="sizes">Bytes of a share, the largest first. Few, because pools keep buffers of each size when others are
/// wanted.</param>
internal sealed class ByteShares(int together, int[] sizes)
{
    private readonly Lock _lock = new();
    private long _left = together;

    /// <summary>Gives a share back and takes the one that is right now.</summary>
    /// <param name="bytes">The share held; 0 for none.</param>
    /// <param name="most">Bytes that will be used, where that is known to be little.</param>
    /// <returns>Bytes of the new share, never less than the least of the sizes.</returns>
    public int Exchange(int bytes, int most = int.MaxValue)
    {
        lock (_lock)
        {
            _left += bytes;
            bytes = sizes.FirstOrDefault(size => size <= Math.Min(_left / 2, most), sizes[^1]);
            _left -= bytes;
            return bytes;
        }
    }

    /// <summary>Gives a share back.</summary>
    public void Return(int bytes)
    {
        lock (_lock)
        {
            _left += bytes;
        }
    }
}
