using System.Buffers.Binary;
using System.IO.Hashing;
using System.Security.Cryptography;

namespace Registry.Api.Import;

/// <summary>Looks through the blocks of an .xz file before it is unpacked: each says how much memory it wants, and
/// which filters.</summary>
/// <remarks>Layout (.xz file format 1.2.0): one or more streams, each followed by padding, zeroes in a multiple of
/// four. A stream is a 12-byte header, blocks (none in an empty one), an index and a 12-byte footer. The blocks are
/// found by walking through their chunks, whose heads tell their lengths; an index that says otherwise is refused,
/// since the decoder does not go by the index.</remarks>
internal static class XzLayout
{
    // Of a stream's header, and of its footer.
    private const int HeaderBytes = 12;
    private const int NumberBytesMax = 9;
    private const int ChecksumBytes = 4;

    // Length of the check after a block, by its kind.
    private static readonly int[] CheckBytes = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

    private static ReadOnlySpan<byte> HeaderMagic => [0xfd, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0];

    /// <summary>Checks a file, and leaves its position anywhere.</summary>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    /// <exception cref="Storage.Domain.RegistryException">ImageRejected: a block wants too much memory, or a filter or
    /// a check that is not supported.</exception>
    public static async Task CheckAsync(Stream file, CancellationToken cancellationToken)
    {
        var window = new XzWindow(file);
        for (long offset = 0; offset == 0 || offset < window.Length;)
        {
            var end = await CheckStreamAsync(window, offset, cancellationToken);
            offset = await window.PassZeroesAsync(end, cancellationToken);
            if ((offset - end) % 4 != 0)
            {
                throw new InvalidDataException("the padding after a stream is not a multiple of four bytes");
            }
        }
    }

    /// <summary>Reads a number: seven bits a byte, the lowest first.</summary>
    internal static long ReadNumber(ReadOnlySpan<byte> bytes, ref int position)
    {
        var value = 0L;
        for (var shift = 0; shift < 7 * NumberBytesMax && position < bytes.Length; shift += 7)
        {
            var next = bytes[position++];
            value |= (long)(next & 0x7f) << shift;
            if ((next & 0x80) == 0)
            {
                return value;
            }
        }

        throw new InvalidDataException("a number in it is damaged");
    }

    private static async ValueTask<long> CheckStreamAsync(
        XzWindow window, long start, CancellationToken cancellationToken)
    {
        var flags = ReadHeader((await window.AtAsync(start, HeaderBytes, cancellationToken)).Span);
        var walk = new XzBlocks(window, CheckBytes[flags]);
        using var sizes = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var (offset, blocks) = (start + HeaderBytes, 0L);
        while ((await window.AtAsync(offset, 1, cancellationToken)).Span[0] != 0)
        {
            var (unpadded, unpacked) = await walk.MeasureAsync(offset, cancellationToken);
            Append(sizes, unpadded, unpacked);
            offset = checked(offset + ((unpadded + 3) & ~3L));
            blocks++;
        }

        var indexBytes = await CheckIndexAsync(window, offset, blocks, sizes.GetHashAndReset(), cancellationToken);
        CheckFooter(
            (await window.AtAsync(offset + indexBytes, HeaderBytes, cancellationToken)).Span, flags, indexBytes);
        return offset + indexBytes + HeaderBytes;
    }

    private static int ReadHeader(ReadOnlySpan<byte> header)
    {
        var isWhole = header.StartsWith(HeaderMagic) && header[6] == 0 && header[7] < CheckBytes.Length
            && Crc32.HashToUInt32(header[6..8]) == BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        if (!isWhole)
        {
            throw new InvalidDataException("the header of a stream is damaged");
        }

        return header[7] is 0 or 1 or 4 or 10
            ? header[7]
            : throw Compression.Unsupported($"xz with a check of kind {header[7]}");
    }

    // Its records are those of the blocks that were found, in their order.
    private static async ValueTask<long> CheckIndexAsync(
        XzWindow window, long start, long blocks, byte[] sizes, CancellationToken cancellationToken)
    {
        var (count, offset) = await NumberAtAsync(window, start + 1, cancellationToken);
        if (count != blocks)
        {
            throw new InvalidDataException("its index disagrees with its blocks");
        }

        using var found = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (; count > 0; count--)
        {
            (var unpadded, offset) = await NumberAtAsync(window, offset, cancellationToken);
            (var unpacked, offset) = await NumberAtAsync(window, offset, cancellationToken);
            Append(found, unpadded, unpacked);
        }

        return found.GetHashAndReset().AsSpan().SequenceEqual(sizes)
            ? ((offset - start + 3) & ~3L) + ChecksumBytes
            : throw new InvalidDataException("its index disagrees with its blocks");
    }

    private static void CheckFooter(ReadOnlySpan<byte> footer, int flags, long indexBytes)
    {
        var statedBytes = (BinaryPrimitives.ReadUInt32LittleEndian(footer[4..]) + 1L) * 4;
        if (footer[8] != 0 || footer[9] != flags || footer[10] != 'Y' || footer[11] != 'Z' || statedBytes != indexBytes)
        {
            throw new InvalidDataException("the end of a stream is damaged");
        }
    }

    private static async ValueTask<(long Value, long Next)> NumberAtAsync(
        XzWindow window, long offset, CancellationToken cancellationToken)
    {
        var bytes = await window.AtAsync(
            offset, (int)Math.Clamp(window.Length - offset, 0, NumberBytesMax), cancellationToken);
        var position = 0;
        var value = ReadNumber(bytes.Span, ref position);
        return (value, offset + position);
    }

    private static void Append(IncrementalHash sizes, long unpadded, long unpacked)
    {
        Span<byte> record = stackalloc byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(record, unpadded);
        BinaryPrimitives.WriteInt64LittleEndian(record[8..], unpacked);
        sizes.AppendData(record);
    }
}
