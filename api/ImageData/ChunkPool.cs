using System.Buffers;

namespace Registry.Api.ImageData;

/// <summary>Buffers of uploads and downloads, kept for reuse so that a stream of them allocates nothing.</summary>
public sealed class ChunkPool
{
    /// <summary>Bytes of one chunk.</summary>
    public const int ChunkBytes = 512 << 10;

    private const int KeptMax = 64;
    private const int SharesMax = 40;

    // The shared pool would keep one of each size for every thread that ever gave one back.
    private readonly ArrayPool<byte> _pool = ArrayPool<byte>.Create(ChunkBytes, KeptMax);
    private int _shares;

    /// <summary>Takes a buffer.</summary>
    /// <param name="bytes">A power of two, to <see cref="ChunkBytes"/>.</param>
    public byte[] Rent(int bytes = ChunkBytes) => _pool.Rent(bytes);

    /// <summary>Gives a buffer back.</summary>
    public void Return(byte[] buffer) => _pool.Return(buffer);

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
