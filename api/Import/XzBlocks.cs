using System.Buffers.Binary;

namespace Registry.Api.Import;

/// <summary>Measures the blocks of an .xz file without unpacking them: the heads of their LZMA2 chunks tell the lengths.
/// </summary>
/// <param name="file">The file.</param>
/// <param name="end">Where its index begins.</param>
/// <param name="checkBytes">Bytes of the check after each block.</param>
internal sealed class XzBlocks(Stream file, long end, int checkBytes)
{
    private const int WindowBytes = 1 << 20;
    private const int BlockHeaderMax = 1024;
    private const int ChunkHeadMax = 6;
    private const int Lzma2 = 0x21;

    private readonly byte[] _window = new byte[WindowBytes];
    private long _windowStart;
    private int _windowLength;

    /// <summary>Measures a block.</summary>
    /// <param name="offset">Where it begins.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Its length without padding, and bytes that it comes to.</returns>
    /// <exception cref="InvalidDataException">It is damaged, wants too much memory, or its header disagrees with
    /// it.</exception>
    public async ValueTask<(long Unpadded, long Unpacked)> MeasureAsync(long offset, CancellationToken cancellationToken)
    {
        var length = ((await AtAsync(offset, 1, cancellationToken)).Span[0] * 4) + 4;
        var header = (await AtAsync(offset, Math.Min(length, BlockHeaderMax), cancellationToken)).ToArray();
        var (statedPacked, statedUnpacked) = ReadHeader(header);
        var (packed, unpacked) = await WalkAsync(offset + length, cancellationToken);
        if ((statedPacked ?? packed) != packed || (statedUnpacked ?? unpacked) != unpacked)
        {
            throw new InvalidDataException("a block's header disagrees with the block");
        }

        return (length + packed + checkBytes, unpacked);
    }

    private static (long? Packed, long? Unpacked) ReadHeader(byte[] header)
    {
        var position = 2;
        long? packed = (header[1] & 0x40) != 0 ? XzLayout.ReadNumber(header, ref position) : null;
        long? unpacked = (header[1] & 0x80) != 0 ? XzLayout.ReadNumber(header, ref position) : null;
        var last = 0L;
        for (var filters = (header[1] & 3) + 1; filters > 0; filters--)
        {
            last = XzLayout.ReadNumber(header, ref position);
            var propertyBytes = XzLayout.ReadNumber(header, ref position);
            if (propertyBytes > header.Length - position)
            {
                throw new InvalidDataException("a block's header is damaged");
            }

            if (last == Lzma2 && (propertyBytes != 1 || DictionaryBytes(header[position]) > XzLayout.DictionaryMax))
            {
                throw new InvalidDataException(
                    $"a block wants a dictionary of more than {XzLayout.DictionaryMax >> 20} MiB");
            }

            position += (int)propertyBytes;
        }

        return last == Lzma2 ? (packed, unpacked) : throw new InvalidDataException("a block is not packed by LZMA2");
    }

    private async ValueTask<(long Packed, long Unpacked)> WalkAsync(long start, CancellationToken cancellationToken)
    {
        var (at, unpacked) = (start, 0L);
        while (true)
        {
            var head = (await AtAsync(at, (int)Math.Min(ChunkHeadMax, end - at), cancellationToken)).Span;
            if (head.IsEmpty)
            {
                throw new InvalidDataException("it is cut off");
            }

            if (head[0] == 0)
            {
                return (at + 1 - start, unpacked);
            }

            var (length, bytes) = Chunk(head);
            at += length;
            unpacked += bytes;
        }
    }

    private static (int Length, int Unpacked) Chunk(ReadOnlySpan<byte> head)
    {
        var isPacked = head[0] >= 0x80;
        if (head.Length < (isPacked ? 5 : 3) || (!isPacked && head[0] > 2))
        {
            throw new InvalidDataException("a chunk of a block is damaged");
        }

        var first = BinaryPrimitives.ReadUInt16BigEndian(head[1..]) + 1;
        return isPacked
            ? (BinaryPrimitives.ReadUInt16BigEndian(head[3..]) + 1 + (head[0] >= 0xC0 ? 6 : 5),
                ((head[0] & 0x1F) << 16) + first)
            : (first + 3, first);
    }

    // Two bits of mantissa and an exponent.
    private static long DictionaryBytes(byte code) =>
        code > 40 ? long.MaxValue : (2L | (code & 1L)) << ((code / 2) + 11);

    private async ValueTask<ReadOnlyMemory<byte>> AtAsync(long offset, int length, CancellationToken cancellationToken)
    {
        if (offset < 0 || length < 0 || offset > end - length)
        {
            throw new InvalidDataException("it is cut off");
        }

        if (offset < _windowStart || offset + length > _windowStart + _windowLength)
        {
            file.Position = offset;
            _windowStart = offset;
            _windowLength = await file.ReadAtLeastAsync(
                _window.AsMemory(0, (int)Math.Min(WindowBytes, end - offset)), length, throwOnEndOfStream: true,
                cancellationToken);
        }

        return _window.AsMemory((int)(offset - _windowStart), length);
    }
}
