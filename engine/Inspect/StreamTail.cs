namespace Registry.Engine.Inspect;

/// <summary>Keeps the last bytes of a stream.</summary>
internal sealed class StreamTail
{
    /// <summary>Bytes kept: a VMDK footer with its two markers and a VHD footer fit in.</summary>
    public const int Size = 2048;

    // Twice the size, so that small chunks move the kept bytes only once in Size bytes.
    private readonly byte[] _bytes = new byte[2 * Size];
    private int _filled;

    /// <summary>The last bytes so far, at most <see cref="Size"/>.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(Math.Max(0, _filled - Size), Math.Min(Size, _filled));

    /// <summary>Takes note of the next bytes of the stream.</summary>
    public void Append(ReadOnlySpan<byte> chunk)
    {
        if (chunk.Length >= Size)
        {
            chunk[^Size..].CopyTo(_bytes);
            _filled = Size;
            return;
        }

        if (_filled + chunk.Length > _bytes.Length)
        {
            _bytes.AsSpan(_filled - Size, Size).CopyTo(_bytes);
            _filled = Size;
        }

        chunk.CopyTo(_bytes.AsSpan(_filled));
        _filled += chunk.Length;
    }
}
