namespace Registry.Api.ImageData;

/// <summary>How many zeroes an upload may name instead of sending them.</summary>
/// <remarks>Zeroes take no bandwidth and the same digests as other bytes: without a budget a message of a few bytes costs the
/// server minutes of a processor. Both sides keep to it: a client whose budget is spent sends zeroes as data.</remarks>
internal sealed class ZeroBudget
{
    /// <summary>Zeroes that any upload may name: 256 MiB.</summary>
    public const long FreeBytes = 256L << 20;

    /// <summary>Zeroes that an upload may name for each byte of data that it has sent before.</summary>
    public const long PerByte = 1000;

    private long _left = FreeBytes;

    /// <summary>Counts data that was sent.</summary>
    /// <param name="bytes">Bytes, 0 or more.</param>
    public void AddData(long bytes) =>
        _left += Math.Min(bytes, (long.MaxValue - _left) / PerByte) * PerByte;

    /// <summary>Takes zeroes from the budget.</summary>
    /// <param name="bytes">Zeroes, 0 or more.</param>
    /// <returns>False where the budget has not so many; nothing is taken then.</returns>
    public bool TryTake(long bytes)
    {
        if (bytes > _left)
        {
            return false;
        }

        _left -= bytes;
        return true;
    }
}
