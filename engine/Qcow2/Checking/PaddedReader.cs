using Registry.Engine.Bytes;

namespace Registry.Engine.Qcow2.Checking;

/// <summary>Reads an image's tables; what lies past the file's end reads as zeroes, as it does for QEMU. Neighbouring
/// tables come with one read.</summary>
/// <param name="source">The file.</param>
internal sealed class PaddedReader(IByteSource source)
{
    private const int MinWindowBytes = 256 << 10;

    private byte[] window = [];
    private long start;
    private int filled;

    /// <summary>The bytes at a position, valid until the next call.</summary>
    /// <param name="offset">Byte offset, 0 or more.</param>
    /// <param name="length">Bytes, at most one cluster or 2 MiB.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    public async ValueTask<Memory<byte>> ReadAsync(long offset, int length, CancellationToken cancellationToken)
    {
        if (offset < start || offset + length > start + filled)
        {
            if (window.Length < length)
            {
                window = new byte[(int)Math.Max(length, Math.Min(MinWindowBytes, source.Length))];
            }

            filled = 0;
            var read = offset < source.Length
                ? await source.ReadAsync(offset, window, cancellationToken).ConfigureAwait(false)
                : 0;
            window.AsSpan(read).Clear();
            start = offset;
            filled = window.Length;
        }

        return window.AsMemory((int)(offset - start), length);
    }

    /// <summary>Forgets what was read: the file has changed.</summary>
    public void Forget() => filled = 0;
}
