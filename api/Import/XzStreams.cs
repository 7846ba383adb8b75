using Registry.Api.ImageData;
using SharpCompress.Compressors.Xz;

namespace Registry.Api.Import;

/// <summary>Unpacks all streams of an .xz file, one after the other; the library unpacks one.</summary>
/// <param name="packed">The file, which <see cref="XzLayout"/> has checked, at its beginning; disposed with this
/// one.</param>
/// <param name="isInMemory">Whether reads never wait: the library is an order of magnitude faster then.</param>
internal sealed class XzStreams(Stream packed, bool isInMemory) : ForwardStream
{
    private const int PaddingBytes = 4096;

    private readonly byte[] _padding = new byte[PaddingBytes];
    private XZStream? _current = new(packed);

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_current is not null && buffer.Length > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var read = isInMemory
                ? _current.Read(buffer.Span)
                : await _current.ReadAsync(buffer, cancellationToken);
            if (read > 0)
            {
                return read;
            }

            _current = await PassPaddingAsync(cancellationToken) ? new XZStream(packed) : null;
        }

        return 0;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            packed.Dispose();
        }

        base.Dispose(disposing);
    }

    // Whether another stream follows.
    private async ValueTask<bool> PassPaddingAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var read = await packed.ReadAtLeastAsync(
                _padding, _padding.Length, throwOnEndOfStream: false, cancellationToken);
            if (read == 0)
            {
                return false;
            }

            var padding = _padding.AsSpan(0, read).IndexOfAnyExcept((byte)0);
            if (padding >= 0)
            {
                packed.Position -= read - padding;
                return true;
            }
        }
    }
}
