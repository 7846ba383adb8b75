using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;
using Registry.Api.Memory;
using Registry.Storage.Memory;

namespace Registry.Api;

/// <summary>Memory of the transport in blocks of 64 KiB, charged to the process's budget while they are in use.</summary>
/// <remarks>The web server receives into one block at a time. Its own blocks are 4 KiB: a GiB of image would be a
/// quarter of a million system calls. A block is held only while bytes are in it; an idle connection holds
/// none.</remarks>
internal sealed class TransportMemory(ProcessMemory memory) : MemoryPool<byte>, IMemoryPoolFactory<byte>
{
    /// <summary>Bytes of a block.</summary>
    public const int BlockBytes = 64 * 1024;

    private const int KeptMax = 256;
    private const int KeptShare = 8; // of the budget: a block that is not kept is garbage until the oldest generation is collected

    private readonly ConcurrentQueue<Block> _free = [];
    private readonly MemoryBudget _budget = memory.Whole;
    private readonly int _kept = (int)Math.Min(KeptMax, memory.Whole.Bytes / KeptShare / BlockBytes);

    /// <inheritdoc/>
    public override int MaxBufferSize => BlockBytes;

    /// <summary>All transports share one pool.</summary>
    public MemoryPool<byte> Create(MemoryPoolOptions? options) => this;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockBytes);
        _budget.Charge(BlockBytes);
        return _free.TryDequeue(out var block) ? block : new Block(this);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        // The transports dispose what they think is their own pool; the blocks are the collector's when all are gone.
    }

    private void Return(Block block)
    {
        _budget.Return(BlockBytes);
        if (_free.Count < _kept)
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
