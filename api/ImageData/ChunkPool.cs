using System.Collections.Concurrent;

namespace Registry.Api.ImageData;

/// <summary>Upload buffers, kept for reuse so that a stream of uploads allocates nothing.</summary>
public sealed class ChunkPool
{
    /// <summary>Bytes of one chunk.</summary>
    public const int ChunkBytes = 512 << 10;

    private const int KeptMax = 64;
    private const int SharesMax = 40;
    private readonly ConcurrentBag<byte[]> _free = [];
    private int _shares;

    /// <summary>Takes a buffer of <see cref="ChunkBytes"/>.</summary>
    public byte[] Rent() => _free.TryTake(out var buffer) ? buffer : GC.AllocateUninitializedArray<byte>(ChunkBytes);

    /// <summary>Gives a buffer back.</summary>
    public void Return(byte[] buffer)
    {
        if (_free.Count < KeptMax)
        {
            _free.Add(buffer);
        }
    }

    /// <summary>Takes leave to hold one buffer more than a stream needs to go on. A few streams hold several, so that
    /// nobody waits for another; many hold only what they need.</summary>
    /// <returns>False where all shares are taken.</returns>
    public bool TryTakeShare()
    {
        if (Interlocked.Increment(ref _shares) <= SharesMax)
        {
            return true;
        }

        Interlocked.Decrement(ref _shares);
        return false;
    }

    /// <summary>Gives shares back.</summary>
    public void ReturnShares(int count) => Interlocked.Add(ref _shares, -count);
}
