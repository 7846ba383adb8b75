using System.Collections.Concurrent;
using Registry.Storage.Memory;

namespace Registry.Storage.Blobs.S3;

/// <summary>Memory of the uploads to one store, in chunks of 256 KiB that are used again.</summary>
/// <remarks>Each upload may always hold one segment, which its caller has taken from the memory budget; whatever it holds
/// beyond, to send while it fills, comes out of a number that all share and out of the budget. So every upload moves on,
/// and the memory of all is at most (uploads + 16) segments. While uploads run no chunk is released, or the collector would
/// have twice as much to hold; after the last, a few are kept.</remarks>
/// <param name="segmentBytes">Bytes of a segment.</param>
/// <param name="budget">Where shared segments are taken from; null for no further limit.</param>
internal sealed class SegmentPool(int segmentBytes, MemoryBudget? budget)
{
    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkBytes = 256 << 10;

    private const int SharedMax = 16;
    private const int ChunksKeptMax = 128;
    private const int KeptShare = 16; // of the budget

    private readonly ConcurrentBag<byte[]> _free = [];
    private readonly long _kept = Math.Min(
        ChunksKeptMax, (budget?.Bytes ?? long.MaxValue) / KeptShare / ChunkBytes);

    private int _shared = SharedMax;
    private int _uploads;

    /// <summary>An upload begins.</summary>
    public void Enter() => Interlocked.Increment(ref _uploads);

    /// <summary>An upload has ended and given everything back.</summary>
    public void Leave()
    {
        if (Interlocked.Decrement(ref _uploads) > 0)
        {
            return;
        }

        while (_free.Count > _kept && _free.TryTake(out _))
        {
            // One less. An upload that begins meanwhile makes new ones.
        }
    }

    /// <summary>Takes a chunk.</summary>
    public byte[] Rent() => _free.TryTake(out var chunk) ? chunk : GC.AllocateUninitializedArray<byte>(ChunkBytes);

    /// <summary>Gives a chunk back.</summary>
    public void Return(byte[] chunk) => _free.Add(chunk);

    /// <summary>Takes one of the segments that all uploads share.</summary>
    /// <returns>False when others have them all, or memory is short.</returns>
    public bool TryTakeShared()
    {
        if (Interlocked.Decrement(ref _shared) >= 0 && budget?.TryTake(segmentBytes) is not false)
        {
            return true;
        }

        Interlocked.Increment(ref _shared);
        return false;
    }

    /// <summary>Gives a shared segment back.</summary>
    public void ReturnShared()
    {
        Interlocked.Increment(ref _shared);
        budget?.Return(segmentBytes);
    }
}
