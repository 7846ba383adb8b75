using System.Buffers;
using Registry.Api.Memory;
using Registry.Storage.Memory;

namespace Registry.Api.ImageData;

/// <summary>Buffers of uploads and downloads, kept for reuse so that a stream of them allocates nothing.</summary>
/// <remarks>What a stream needs to make progress is the caller's to take from the memory budget; what it holds beyond that is
/// taken here.</remarks>
internal sealed class ChunkPool
{
    /// <summary>Bytes of the largest chunk.</summary>
    public const int ChunkBytesMax = 512 << 10;

    private const int ChunkBytesLeast = 128 << 10;
    private const int ChunksOfABudget = 512; // a process with less memory than that many chunks has smaller ones
    private const int KeptMax = 64;
    private const int SharesMax = 40;

    // The shared pool would keep one of each size for every thread that ever gave one back.
    private readonly ArrayPool<byte> _pool;
    private readonly MemoryBudget _budget;
    private int _shares;

    /// <summary>Makes a pool for the memory there is.</summary>
    public ChunkPool(ProcessMemory memory)
    {
        _budget = memory.Uploads;
        ChunkBytes = memory.Whole.Bytes >= (long)ChunksOfABudget * ChunkBytesMax ? ChunkBytesMax : ChunkBytesLeast;
        _pool = ArrayPool<byte>.Create(
            ChunkBytesMax, (int)Math.Clamp(memory.Whole.Bytes / 16 / ChunkBytesMax, 4, KeptMax));
    }

    /// <summary>Bytes of one chunk of an upload.</summary>
    public int ChunkBytes { get; }

    /// <summary>Takes a buffer.</summary>
    /// <param name="bytes">A power of two, to <see cref="ChunkBytesMax"/>.</param>
    public byte[] Rent(int bytes) => _pool.Rent(bytes);

    /// <summary>Gives a buffer back.</summary>
    public void Return(byte[] buffer) => _pool.Return(buffer);

    /// <summary>Takes leave to hold one chunk more than a stream needs to make progress. A few streams hold several, so
    /// that none waits for another; many hold only what they need.</summary>
    /// <returns>False where all shares are taken, or memory is short.</returns>
    public bool TryTakeShare()
    {
        if (Interlocked.Increment(ref _shares) <= SharesMax && _budget.TryTake(ChunkBytes))
        {
            return true;
        }

        Interlocked.Decrement(ref _shares);
        return false;
    }

    /// <summary>Counts bytes that an upload had to allocate beyond chunks.</summary>
    public void Charge(long bytes) => _budget.Charge(bytes);

    /// <summary>Gives charged bytes back.</summary>
    public void Discharge(long bytes) => _budget.Return(bytes);

    /// <summary>Gives shares back.</summary>
    public void ReturnShares(int count)
    {
        Interlocked.Add(ref _shares, -count);
        _budget.Return((long)count * ChunkBytes);
    }
}
