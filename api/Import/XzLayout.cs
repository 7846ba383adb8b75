using System.Buffers.Binary;

namespace Registry.Api.Import;

/// <summary>Looks through the blocks of an .xz file before it is unpacked: each says how much memory it wants.</summary>
/// <remarks>The layout is that of the .xz file format 1.2.0: a 12-byte stream header, blocks, an index, a 12-byte footer.
/// Files of several streams are refused.</remarks>
internal static class XzLayout
{
    /// <summary>Largest dictionary of a block: what <c>xz -9</c> uses.</summary>
    public const long DictionaryMax = 64L << 20;

    private const int FooterBytes = 12;
    private const int StreamHeaderBytes = 12;
    private const int IndexBytesMax = 4 << 20;
    private const int BlockHeaderMax = 1024;
    private const int Lzma2 = 0x21;

    /// <summary>Checks a file and goes back to its beginning.</summary>
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
        var position = 1; // after the byte that tells it from a block
        var blocks = index[0] == 0 ? ReadNumber(index, ref position) : throw new InvalidDataException("its index is damaged");
        long offset = StreamHeaderBytes;
        for (var block = 0L; block < blocks; block++)
        {
            var unpadded = ReadNumber(index, ref position);
            ReadNumber(index, ref position); // what it comes to
            await CheckBlockAsync(file, offset, cancellationToken);
            offset = checked(offset + ((unpadded + 3) & ~3L));
        }

        if (offset != file.Length - FooterBytes - indexBytes)
        {
            throw new InvalidDataException("it holds more than one stream, or its index is damaged");
        }

        file.Position = 0;
    }

    private static async Task CheckBlockAsync(Stream file, long offset, CancellationToken cancellationToken)
    {
        var length = (await ReadAsync(file, offset, 1, cancellationToken))[0] * 4 + 4;
        var header = await ReadAsync(file, offset, Math.Min(length, BlockHeaderMax), cancellationToken);
        var position = 2;
        if ((header[1] & 0x40) != 0)
        {
            ReadNumber(header, ref position); // compressed size
        }

        if ((header[1] & 0x80) != 0)
        {
            ReadNumber(header, ref position); // uncompressed size
        }

        for (var filters = (header[1] & 3) + 1; filters > 0; filters--)
        {
            var id = ReadNumber(header, ref position);
            var propertyBytes = ReadNumber(header, ref position);
            if (propertyBytes > header.Length - position)
            {
                throw new InvalidDataException("a block's header is damaged");
            }

            if (id == Lzma2 && (propertyBytes != 1 || DictionaryBytes(header[position]) > DictionaryMax))
            {
                throw new InvalidDataException($"a block wants a dictionary of more than {DictionaryMax >> 20} MiB");
            }

            position += (int)propertyBytes;
        }
    }

    // Two bits of mantissa and an exponent.
    private static long DictionaryBytes(byte code) =>
        code > 40 ? long.MaxValue : (2L | (code & 1L)) << ((code / 2) + 11);

    // Seven bits a byte, the lowest first.
    private static long ReadNumber(byte[] bytes, ref int position)
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
