using System.Buffers;

namespace Registry.Engine.Convert;

/// <summary>A pooled buffer that several pieces point into; goes back to the pool with its last user.</summary>
internal sealed class PieceBuffer
{
    private readonly DiskReadTotals totals;
    private byte[]? array;
    private int users = 1;

    /// <summary>Rents a buffer; the renter is its first user.</summary>
    /// <param name="length">Bytes needed.</param>
    /// <param name="totals">Counts buffers that are out.</param>
    public PieceBuffer(int length, DiskReadTotals totals)
    {
        this.totals = totals;
        array = ArrayPool<byte>.Shared.Rent(length);
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
            ArrayPool<byte>.Shared.Return(rented);
            totals.AddBuffers(-1);
        }
    }
}
