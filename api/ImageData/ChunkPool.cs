using System.Collections.Concurrent;

namespace Registry.Api.ImageData;

/// <summary>Upload buffers, kept for reuse so that a stream of uploads allocates nothing.</summary>
public sealed class ChunkPool
{
    /// <summary>Bytes of one chunk.</summary>
    public const int ChunkBytes = 1 << 20;

    private const int KeptMax = 64;
    private readonly ConcurrentBag<byte[]> _free = [];

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
}
