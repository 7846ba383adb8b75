namespace Registry.Api.ImageData;

/// <summary>A piece of an upload on its way through its consumers; goes back to the pool when the last is
/// done.</summary>
internal sealed class Chunk(byte[] buffer, int length, int consumers, Action<byte[]> release)
{
    private int _consumers = consumers;

    /// <summary>The bytes.</summary>
    public ReadOnlyMemory<byte> Bytes => buffer.AsMemory(0, length);

    /// <summary>One consumer is done with it.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _consumers) == 0)
        {
            release(buffer);
        }
    }
}
