using Registry.Engine.Bytes;

namespace Registry.Engine.Convert;

/// <summary>Finds runs of zeroes in content that passes by, in aligned blocks.</summary>
internal static class ZeroBlocks
{
    /// <summary>Bytes of a block unless told otherwise: qemu-img's.</summary>
    public const int DefaultBytes = 4096;

    /// <summary>Writes what is not zero to a target that reads as zeroes.</summary>
    /// <param name="target">Where it goes.</param>
    /// <param name="offset">Where it begins there.</param>
    /// <param name="data">The content.</param>
    /// <param name="block">Bytes of a block, a power of two; 0 when zeroes are content too.</param>
    /// <param name="cancellationToken">Cancels the writing.</param>
    /// <returns>Bytes written.</returns>
    public static async ValueTask<int> WriteOthersAsync(
        IByteSink target, long offset, ReadOnlyMemory<byte> data, int block, CancellationToken cancellationToken)
    {
        var written = 0;
        for (var position = 0; position < data.Length;)
        {
            position += ZeroRun(data.Span[position..], offset + position, block);
            var length = position == data.Length ? 0 : ContentRun(data.Span[position..], offset + position, block);
            if (length > 0)
            {
                await target.WriteAsync(offset + position, data.Slice(position, length), cancellationToken)
                    .ConfigureAwait(false);
            }

            written += length;
            position += length;
        }

        return written;
    }

    /// <summary>Bytes at the start that are zero up to a block boundary (or the end).</summary>
    /// <param name="data">The content.</param>
    /// <param name="offset">Where it begins; blocks are aligned to offset 0.</param>
    /// <param name="block">Bytes of a block, a power of two; 0 when zeroes are content too.</param>
    public static int ZeroRun(ReadOnlySpan<byte> data, long offset, int block)
    {
        if (block == 0 || data[0] != 0)
        {
            return 0;
        }

        var content = data.IndexOfAnyExcept((byte)0);
        return content < 0 ? data.Length : (int)Math.Max(0, ((offset + content) & -block) - offset);
    }

    /// <summary>Bytes at the start up to the first block that is all zeroes.</summary>
    /// <param name="data">The content.</param>
    /// <param name="offset">Where it begins.</param>
    /// <param name="block">Bytes of a block, a power of two; 0 when zeroes are content too.</param>
    public static int ContentRun(ReadOnlySpan<byte> data, long offset, int block)
    {
        if (block == 0)
        {
            return data.Length;
        }

        var position = 0;
        while (position < data.Length)
        {
            var length = Math.Min(data.Length - position, block - (int)((offset + position) & (block - 1)));

            // Content shows in a block's first byte mostly; the rest is searched only where it does not.
            if (data[position] == 0 && !data.Slice(position, length).ContainsAnyExcept((byte)0))
            {
                break;
            }

            position += length;
        }

        return position;
    }
}
