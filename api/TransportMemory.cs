using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace Registry.Api;

/// <summary>Memory of the transport in blocks of 64 KiB.</summary>
/// <remarks>The web server receives into one block at a time. Its own blocks are 4 KiB: a GiB of image would be a
/// quarter of a million system calls. A block is held only while bytes are in it; an idle connection holds
/// none.</remarks>
internal sealed class TransportMemory : MemoryPool<byte>, IMemoryPoolFactory<byte>
{
    private const int BlockBytes = 64 * 1024;
    private const int KeptMax = 256;

    private readonly ConcurrentQueue<Block> _free = [];

    /// <inheritdoc/>
    public override int MaxBufferSize => BlockBytes;

    /// <summary>All transports share one pool.</summary>
    public MemoryPool<byte> Create(MemoryPoolOptions? options) => this;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockBytes);
        return _free.TryDequeue(out var block) ? block : new Block(this);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        // The transports dispose what they think is their own pool; the blocks are the collector's when all are gone.
    }

    private void Return(Block block)
    {
        if (_free.Count < KeptMax)
        {
            _free.Enqueue(block);
        }
    }

    private sealed class Block(TransportMemory pool) : IMemoryOwner<byte>
    {
        // Pinned where it is made: the socket would pin it for every receive.
        public Memory<byte> Memory { get; } = GC.AllocateUninitializedArray<byte>(BlockBytes, pinned: true);

        public void Dispose() => pool.Return(this);
    }
}
