using System.Buffers.Binary;

namespace Registry.Api.Import;

/// <summary>Looks through the blocks of an .xz file before it is unpacked: each says how much memory it wants.</summary>
/// <remarks>The blocks are found by walking through their chunks, whose heads tell their lengths; an index that says
/// otherwise is refused, since the decoder does not go by the index. The layout is that of the .xz file format 1.2.0: a
/// 12-byte stream header, blocks, an index, a 12-byte footer. Files of several streams are refused.</remarks>
internal static class XzLayout
{
    /// <summary>Largest dictionary of a block: what <c>xz -9</c> uses.</summary>
    public const long DictionaryMax = 64L << 20;

    private const int FooterBytes = 12;
    private const int StreamHeaderBytes = 12;
    private const int IndexBytesMax = 4 << 20;

    // Length of the check after a block, by its kind.
    private static readonly int[] CheckBytes = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

    /// <summary>Checks a file, and leaves its position anywhere.</summary>
    /// <exception cref="InvalidDataException">It is damaged, or a block wants too much memory.</exception>
    public static async Task CheckAsync(Stream file, CancellationToken cancellationToken)
    {
        var footer = await ReadAsync(file, file.Length - FooterBytes, FooterBytes, cancellationToken);
        if (footer[10] != 'Y' || footer[11] != 'Z')
        {
            throw new InvalidDataException("its end is missing");
        }

        var indexBytes = (BinaryPrimitives.ReadUInt32LittleEndian(footer.AsSpan(4)) + 1L) * 4;
        if (indexBytes > IndexBytesMax)
        {
            throw new InvalidDataException("its index is too long");
        }

        var index = await ReadAsync(file, file.Length - FooterBytes - indexBytes, (int)indexBytes, cancellationToken);
        var header = await ReadAsync(file, 0, StreamHeaderBytes, cancellationToken);
        var walk = new XzBlocks(file, file.Length - FooterBytes - indexBytes, CheckBytes[header[7] & 15]);
        var position = 1; // after the byte that tells it from a block
        var blocks = index[0] == 0 ? ReadNumber(index, ref position) : throw new InvalidDataException("its index is damaged");
        long offset = StreamHeaderBytes;
        for (var block = 0L; block < blocks; block++)
        {
            var unpadded = ReadNumber(index, ref position);
            var unpacked = ReadNumber(index, ref position);
            if (await walk.MeasureAsync(offset, cancellationToken) != (unpadded, unpacked))
            {
                throw new InvalidDataException("its index disagrees with its blocks");
            }

            offset = checked(offset + ((unpadded + 3) & ~3L));
        }

        if (offset != file.Length - FooterBytes - indexBytes)
        {
            throw new InvalidDataException("it holds more than one stream, or its index is damaged");
        }
    }

    // Seven bits a byte, the lowest first.
    internal static long ReadNumber(byte[] bytes, ref int position)
    {
        var value = 0L;
        for (var shift = 0; shift < 63; shift += 7)
        {
            if (position >= bytes.Length)
            {
                break;
            }

            var next = bytes[position++];
            value |= (long)(next & 0x7f) << shift;
            if ((next & 0x80) == 0)
            {
                return value;
            }
        }

        throw new InvalidDataException("a number in it is damaged");
    }

    private static async Task<byte[]> ReadAsync(
        Stream file, long offset, int length, CancellationToken cancellationToken)
    {
        if (offset < 0 || offset > file.Length - length)
        {
            throw new InvalidDataException("it is cut off");
        }

        file.Position = offset;
        var bytes = new byte[length];
        await file.ReadExactlyAsync(bytes, cancellationToken);
        return bytes;
    }
}
