using System.Runtime.InteropServices;

namespace Registry.Engine.Bytes;

/// <summary>Bytes of a file that follow each other, in memory that is aligned as they are in the file.</summary>
internal sealed class DirectBuffer
{
    /// <summary>The most it takes.</summary>
    public const int Bytes = 1 << 20;

    private readonly int alignment;
    private readonly Memory<byte> memory;
    private int length;
    private int skip;

    /// <summary>Makes one.</summary>
    /// <param name="alignment">Bytes, a power of two.</param>
    public DirectBuffer(int alignment)
    {
        this.alignment = alignment;
        var array = GC.AllocateUninitializedArray<byte>(Bytes + alignment, pinned: true);
        var address = Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
        memory = array.AsMemory((int)(-address & (alignment - 1)), Bytes);
    }

    /// <summary>First byte in the file.</summary>
    public long Start { get; private set; }

    /// <summary>First byte in the file that is not here.</summary>
    public long End => Start + length;

    /// <summary>Whether it takes no more.</summary>
    public bool IsFull => skip + length == Bytes;

    /// <summary>Begins anew, empty.</summary>
    /// <param name="offset">First byte in the file.</param>
    public void Begin(long offset) => (Start, length, skip) = (offset, 0, (int)(offset & (alignment - 1)));

    /// <summary>Takes as much as there is room for.</summary>
    /// <returns>Bytes taken.</returns>
    public int Append(ReadOnlySpan<byte> data)
    {
        var taken = Math.Min(data.Length, Bytes - skip - length);
        data[..taken].CopyTo(memory.Span[(skip + length)..]);
        length += taken;
        return taken;
    }

    /// <summary>What is here of a range of the file.</summary>
    /// <param name="from">First byte, not before <see cref="Start"/>.</param>
    /// <param name="to">First byte not wanted, not after <see cref="End"/>.</param>
    public ReadOnlyMemory<byte> Between(long from, long to) =>
        memory.Slice(skip + (int)(from - Start), (int)(to - from));
}
