using System.Net;
using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <summary>One segment in memory: filled by its upload, then kept until the store has it.</summary>
/// <param name="pool">Where its chunks come from.</param>
/// <param name="capacity">Most bytes it takes.</param>
internal sealed class SegmentBuffer(SegmentPool pool, int capacity) : S3Body
{
    private readonly List<byte[]> _chunks = [];

    private int _length;

    /// <inheritdoc/>
    public override int Length => _length;

    /// <summary>Whether it takes no more.</summary>
    public bool IsFull => Length == capacity;

    /// <summary>Takes as much as there is room for.</summary>
    /// <returns>Bytes taken.</returns>
    public int Append(ReadOnlySpan<byte> bytes)
    {
        var taken = 0;
        while (taken < bytes.Length && Length < capacity)
        {
            var at = Length % SegmentPool.ChunkBytes;
            if (at == 0)
            {
                _chunks.Add(pool.Rent());
            }

            var room = Math.Min(SegmentPool.ChunkBytes - at, capacity - Length);
            var part = Math.Min(room, bytes.Length - taken);
            bytes.Slice(taken, part).CopyTo(_chunks[^1].AsSpan(at));
            taken += part;
            _length += part;
        }

        return taken;
    }

    /// <summary>Copies bytes out.</summary>
    /// <returns>Bytes copied; less than the buffer only where the segment ends.</returns>
    public int Read(int offset, Span<byte> buffer)
    {
        var read = 0;
        while (read < buffer.Length && offset + read < Length)
        {
            var at = (offset + read) % SegmentPool.ChunkBytes;
            var part = Math.Min(
                Math.Min(SegmentPool.ChunkBytes - at, Length - offset - read), buffer.Length - read);
            _chunks[(offset + read) / SegmentPool.ChunkBytes].AsSpan(at, part).CopyTo(buffer[read..]);
            read += part;
        }

        return read;
    }

    /// <summary>Gives the chunks back; there is nothing in it any more.</summary>
    public void Clear()
    {
        _chunks.ForEach(pool.Return);
        _chunks.Clear();
        _length = 0;
    }

    /// <inheritdoc/>
    public override HttpContent ToContent(StoreAttempt attempt) => new Content(this, attempt);

    /// <inheritdoc/>
    public override ReadOnlyMemory<byte> PieceAt(int offset)
    {
        var at = offset % SegmentPool.ChunkBytes;
        return _chunks[offset / SegmentPool.ChunkBytes]
            .AsMemory(at, Math.Min(SegmentPool.ChunkBytes - at, Length - offset));
    }

    private sealed class Content(SegmentBuffer segment, StoreAttempt attempt) : HttpContent
    {
        protected override bool TryComputeLength(out long length)
        {
            length = segment.Length;
            return true;
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
            SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override async Task SerializeToStreamAsync(
            Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            for (var sent = 0; sent < segment.Length; sent += SegmentPool.ChunkBytes)
            {
                var length = Math.Min(SegmentPool.ChunkBytes, segment.Length - sent);
                var chunk = segment._chunks[sent / SegmentPool.ChunkBytes].AsMemory(0, length);
                await stream.WriteAsync(chunk, cancellationToken).ConfigureAwait(false);
                attempt.Progressed(length);
            }
        }
    }
}
