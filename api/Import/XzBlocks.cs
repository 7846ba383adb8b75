using System.Buffers.Binary;
using Registry.Storage.Domain;

namespace Registry.Api.Import;

/// <summary>Measures the blocks of an .xz file without unpacking them: the heads of their LZMA2 chunks tell the lengths.
/// </summary>
/// <param name="window">The file.</param>
/// <param name="checkBytes">Bytes of the check after each block.</param>
internal sealed class XzBlocks(XzWindow window, int checkBytes)
{
    private const int BlockHeaderMax = 1024;
    private const int ChunkHeadMax = 6;
    private const int Lzma2 = 0x21;

    /// <summary>Largest dictionary of a block: what <c>xz -9</c> uses.</summary>
    private const long DictionaryMax = 64L << 20;

    // Filters that the library reads: PowerPC, ARM, ARM-Thumb, SPARC. Those of x86 and IA-64 it reads wrong.
    private static readonly long[] Filters = [0x05, 0x07, 0x08, 0x09];
    private static readonly Dictionary<long, string> FilterNames = new()
    {
        [0x03] = "delta", [0x04] = "x86", [0x06] = "ia64", [0x0A] = "arm64", [0x0B] = "riscv",
    };

    /// <summary>Measures a block.</summary>
    /// <param name="offset">Where it begins.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Its length without padding, and bytes that it comes to.</returns>
    /// <exception cref="InvalidDataException">It is damaged, or its header disagrees with it.</exception>
    /// <exception cref="RegistryException">ImageRejected: it wants too much memory, or a filter that is not
    /// supported.</exception>
    public async ValueTask<(long Unpadded, long Unpacked)> MeasureAsync(long offset, CancellationToken cancellationToken)
    {
        var length = ((await window.AtAsync(offset, 1, cancellationToken)).Span[0] * 4) + 4;
        var header = (await window.AtAsync(offset, Math.Min(length, BlockHeaderMax), cancellationToken)).ToArray();
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

            if (last == Lzma2)
            {
                RequireDictionary(propertyBytes == 1 ? header[position] : byte.MaxValue);
            }
            else if (!Filters.Contains(last))
            {
                var name = FilterNames.GetValueOrDefault(last, $"0x{last:x}");
                throw Compression.Unsupported($"xz with the filter {name}: compress the disk without it");
            }

            position += (int)propertyBytes;
        }

        return last == Lzma2 ? (packed, unpacked) : throw new InvalidDataException("a block is not packed by LZMA2");
    }

    private static void RequireDictionary(byte code)
    {
        if (code > 40)
        {
            throw new InvalidDataException("a block's header is damaged");
        }

        if (DictionaryBytes(code) > DictionaryMax)
        {
            throw Compression.Unsupported($"xz with a dictionary of more than {DictionaryMax >> 20} MiB");
        }
    }

    private async ValueTask<(long Packed, long Unpacked)> WalkAsync(long start, CancellationToken cancellationToken)
    {
        var (at, unpacked) = (start, 0L);
        while (true)
        {
            var headBytes = (int)Math.Clamp(window.Length - at, 0, ChunkHeadMax);
            var head = (await window.AtAsync(at, headBytes, cancellationToken)).Span;
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
        (2L | (code & 1L)) << ((code / 2) + 11);
}
