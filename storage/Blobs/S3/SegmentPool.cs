using System.Collections.Concurrent;

namespace Registry.Storage.Blobs.S3;

/// <summary>Memory of the uploads to one store, in chunks of 1 MiB that are used again.</summary>
/// <remarks>Each upload may always hold one segment; whatever it holds beyond, to send while it fills, comes out of a
/// number that all share. So every upload moves on, and the most memory is known: (uploads + 16) segments. While
/// uploads run nothing is let go, or the collector would have twice as much to hold; after the last, a little is
/// kept.</remarks>
internal sealed class SegmentPool
{
    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkBytes = 1 << 20;

    private const int SharedMax = 16;
    private const int ChunksKeptAtRest = 32;

    private readonly ConcurrentBag<byte[]> _free = [];
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

        while (_free.Count > ChunksKeptAtRest && _free.TryTake(out _))
        {
            // One less. An upload that begins meanwhile makes new ones.
        }
    }

    /// <summary>Takes a chunk.</summary>
    public byte[] Rent() => _free.TryTake(out var chunk) ? chunk : GC.AllocateUninitializedArray<byte>(ChunkBytes);

    /// <summary>Gives a chunk back.</summary>
    public void Return(byte[] chunk) => _free.Add(chunk);

    /// <summary>Takes one of the segments that all uploads share.</summary>
    /// <returns>False when others have them all.</returns>
    public bool TryTakeShared()
    {
        if (Interlocked.Decrement(ref _shared) >= 0)
        {
            return true;
        }

        Interlocked.Increment(ref _shared);
        return false;
    }

    /// <summary>Gives a shared segment back.</summary>
    public void ReturnShared() => Interlocked.Increment(ref _shared);
}
