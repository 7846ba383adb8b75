namespace Registry.Api.Import;

/// <summary>Reads small parts of an .xz file in the order of their offsets, 1 MiB at a time.</summary>
/// <param name="file">The file.</param>
internal sealed class XzWindow(Stream file)
{
    private const int WindowBytes = 1 << 20;

    private readonly byte[] _window = new byte[WindowBytes];
    private long _start;
    private int _filled;

    /// <summary>Bytes of the file.</summary>
    public long Length => file.Length;

    /// <summary>Reads a part, which is valid until the next call.</summary>
    /// <exception cref="InvalidDataException">The file ends before it.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> AtAsync(long offset, int length, CancellationToken cancellationToken)
    {
        if (offset < 0 || length < 0 || offset > Length - length)
        {
            throw new InvalidDataException("it is cut off");
        }

        if (offset < _start || offset + length > _start + _filled)
        {
            file.Position = offset;
            _start = offset;
            _filled = await file.ReadAtLeastAsync(
                _window.AsMemory(0, (int)Math.Min(WindowBytes, Length - offset)), length, throwOnEndOfStream: true,
                cancellationToken);
        }

        return _window.AsMemory((int)(offset - _start), length);
    }

    /// <summary>Finds the first byte from an offset on that is not zero; the file's length where there is
    /// none.</summary>
    public async ValueTask<long> PassZeroesAsync(long offset, CancellationToken cancellationToken)
    {
        while (offset < Length)
        {
            var length = (int)Math.Min(64 << 10, Length - offset);
            var at = (await AtAsync(offset, length, cancellationToken)).Span.IndexOfAnyExcept((byte)0);
            if (at >= 0)
            {
                return offset + at;
            }

            offset += length;
        }

        return Length;
    }
}
