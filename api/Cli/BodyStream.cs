using Registry.Api.ImageData;

namespace Registry.Api.Cli;

/// <summary>A body as a stream that hands nothing out before it knows that the body goes on or has ended well: who sends it
/// with its length has not sent the last of it when the end fails.</summary>
internal sealed class BodyStream(IUploadBody body) : ForwardStream
{
    private const int ChunkBytes = 1 << 20;

    private byte[] _chunk = new byte[ChunkBytes];
    private byte[] _next = new byte[ChunkBytes];
    private int _position;
    private int _length;
    private int _nextLength = -1;

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_position == _length && !await MoveAsync(cancellationToken))
        {
            return 0;
        }

        var count = Math.Min(buffer.Length, _length - _position);
        _chunk.AsMemory(_position, count).CopyTo(buffer);
        _position += count;
        return count;
    }

    // A body fills less than asked only at its end.
    private async ValueTask<bool> MoveAsync(CancellationToken cancellationToken)
    {
        if (_nextLength < 0)
        {
            _nextLength = await body.FillAsync(_next, cancellationToken);
        }

        (_chunk, _next) = (_next, _chunk);
        (_position, _length) = (0, _nextLength);
        _nextLength = _length < ChunkBytes ? 0 : await body.FillAsync(_next, cancellationToken);
        return _length > 0;
    }
}
