using System.Buffers;

namespace Registry.Engine.Convert;

/// <summary>A pooled buffer that several pieces point into; goes back to the pool with its last user.</summary>
internal sealed class PieceBuffer
{
    // The shared pool keeps a buffer of each size for every thread that gave one back, 8 MiB each in the end.
    private const int SharedMax = 1 << 20;
    private const int LargeMax = 8 << 20; // a larger one is not kept
    private const int LargeKept = 3; // of a size: what one reader has on its way
    private static readonly ArrayPool<byte> Large = ArrayPool<byte>.Create(LargeMax, LargeKept);

    private readonly DiskReadTotals totals;
    private readonly ArrayPool<byte> pool;
    private byte[]? array;
    private int users = 1;

    /// <summary>Rents a buffer; the renter is its first user.</summary>
    /// <param name="length">Bytes needed.</param>
    /// <param name="totals">Counts buffers that are out.</param>
    public PieceBuffer(int length, DiskReadTotals totals)
    {
        this.totals = totals;
        pool = length > SharedMax ? Large : ArrayPool<byte>.Shared;
        array = pool.Rent(length);
        Memory = array.AsMemory(0, length);
        totals.AddBuffers(1);
    }

    /// <summary>The bytes.</summary>
    public Memory<byte> Memory { get; }

    /// <summary>Counts one more user.</summary>
    public void AddUser() => Interlocked.Increment(ref users);

    /// <summary>Counts one user less.</summary>
    public void RemoveUser()
    {
        if (Interlocked.Decrement(ref users) == 0 && Interlocked.Exchange(ref array, null) is { } rented)
        {
            pool.Return(rented);
            totals.AddBuffers(-1);
        }
    }
}
