using System.Collections.Concurrent;
using Registry.Storage.Blobs;

namespace Registry.Storage.Tests.Blobs;

/// <summary>A blob in memory that can be damaged, counts reads, and knows exactly what was asked for.</summary>
internal sealed class MemoryStore : IBlobStore
{
    private int _flips;

    public string Id => "memory";

    public byte[] Data { get; set; } = [];

    public byte[] Index { get; set; } = [];

    public ConcurrentQueue<(BlobPart Part, long Offset, int Length)> Reads { get; } = new();

    /// <summary>Happens before each read, and may make it fail.</summary>
    public Func<BlobPart, CancellationToken, Task>? BeforeRead { get; set; }

    /// <summary>Flips a bit in that many of the next reads.</summary>
    public void FlipNextReads(int count) => _flips = count;

    public async ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        Reads.Enqueue((part, offset, buffer.Length));
        if (BeforeRead is not null)
        {
            await BeforeRead(part, cancellationToken);
        }

        var bytes = part == BlobPart.Data ? Data : Index;
        var length = (int)Math.Clamp(bytes.Length - offset, 0, buffer.Length);
        bytes.AsSpan((int)Math.Min(offset, bytes.Length), length).CopyTo(buffer.Span);
        if (length > 0 && Interlocked.Decrement(ref _flips) >= 0)
        {
            buffer.Span[length / 2] ^= 1;
        }

        return length;
    }

    public ValueTask<IBlobWriter> BeginAsync(BlobKey key, long? expectedLength, CancellationToken cancellationToken) =>
        throw new NotSupportedException();

    public ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken) =>
        throw new NotSupportedException();

    public ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken) => throw new NotSupportedException();

    public IAsyncEnumerable<BlobEntry> ListAsync(CancellationToken cancellationToken) =>
        throw new NotSupportedException();
}
