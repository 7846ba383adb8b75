using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>A file in a tar archive.</summary>
/// <param name="Name">Its name, as <see cref="OvaNames.Plain"/> makes it; nothing is ever written under it.</param>
/// <param name="Offset">Where its bytes begin in the archive.</param>
/// <param name="Length">How many there are, 0 or more.</param>
internal readonly record struct TarMember(string Name, long Offset, long Length);

/// <summary>Reads part of an archive: from an offset until the buffer is full.</summary>
internal delegate ValueTask TarRead(long offset, Memory<byte> buffer, CancellationToken cancellationToken);

/// <summary>What files a tar archive has, and where: the headers are read and the files skipped.</summary>
/// <remarks>Layout: V7 and POSIX.1-1988 (ustar) with the extended headers of POSIX.1-2001 (pax; type X in those of
/// Solaris) and GNU's long names and volume labels. Archives of virtual machines hold plain files, and folders;
/// whatever else there could be (links, devices, sparse files) is refused, and so is every way of saying one thing
/// twice.</remarks>
internal static class TarIndex
{
    /// <summary>Most files of an archive.</summary>
    public const int MembersMax = 1000;

    private const int Block = 512;
    private const int ExtensionBytesMax = 64 << 10;
    private static readonly (int Offset, int Length) Name = (0, 100);
    private static readonly (int Offset, int Length) Size = (124, 12);
    private static readonly (int Offset, int Length) Checksum = (148, 8);
    private const int Type = 156;
    private static readonly (int Offset, int Length) Magic = (257, 6);
    private static readonly (int Offset, int Length) Prefix = (345, 155);

    /// <summary>Reads the headers of an archive.</summary>
    /// <param name="read">Reads the archive.</param>
    /// <param name="length">Its length in bytes.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">ImageRejected: it is damaged, or holds what is no plain file.</exception>
    public static async Task<IReadOnlyList<TarMember>> ReadAsync(
        TarRead read, long length, CancellationToken cancellationToken)
    {
        var members = new Dictionary<string, TarMember>(StringComparer.Ordinal);
        var header = new byte[Block];
        var next = new TarExtension(null, null);
        var headers = 0;
        for (long offset = 0; offset <= length - Block;)
        {
            await read(offset, header, cancellationToken);
            if (!header.AsSpan().ContainsAnyExcept((byte)0))
            {
                break; // the end
            }

            if (++headers > 2 * MembersMax)
            {
                throw Refused($"it holds more than {MembersMax} files", "too_many_members");
            }

            RequireChecksum(header);
            var type = header[Type];
            var isFile = type is (byte)'0' or 0 or (byte)'7';
            var size = (isFile ? next.Size : null) ?? ReadSize(Field(header, Size));
            var data = offset + Block;
            if (size > length - data)
            {
                throw Refused("it is cut off", "damaged");
            }

            if (isFile)
            {
                var name = next.Name ?? ReadName(header);
                if (size > 0 || !name.EndsWith('/')) // a folder, in archives of V7
                {
                    Add(members, new TarMember(OvaNames.Plain(name), data, size));
                }

                next = new TarExtension(null, null);
            }
            else
            {
                next = await ReadOtherAsync(read, type, data, size, next, cancellationToken);
            }

            offset = data + ((size + Block - 1) / Block * Block); // cannot overflow: the size is below the length
        }

        return [.. members.Values];
    }

    private static void Add(Dictionary<string, TarMember> members, TarMember member)
    {
        if (!members.TryAdd(member.Name, member))
        {
            throw Refused("it holds two files of one name", "duplicate_members");
        }

        if (members.Count > MembersMax)
        {
            throw Refused($"it holds more than {MembersMax} files", "too_many_members");
        }
    }

    private static async Task<TarExtension> ReadOtherAsync(
        TarRead read, byte type, long data, long size, TarExtension next, CancellationToken cancellationToken)
    {
        if (type == (byte)'5')
        {
            return size == 0 ? new TarExtension(null, null) : throw Refused("a directory in it has bytes", "damaged");
        }

        if (type == (byte)'V')
        {
            return next; // GNU's label of the volume
        }

        if (type is not ((byte)'x' or (byte)'X' or (byte)'g' or (byte)'L') || size > ExtensionBytesMax)
        {
            throw Refused("it holds something else than files", "odd_members");
        }

        var bytes = new byte[size];
        await read(data, bytes, cancellationToken);
        return type == (byte)'L'
            ? next.Named(bytes)
            : next.With(bytes, isGlobal: type == (byte)'g');
    }

    private static void RequireChecksum(ReadOnlySpan<byte> header)
    {
        // Some old programs add the bytes up as signed ones.
        var (sum, signed) = (0, 0);
        for (var i = 0; i < Block; i++)
        {
            var value = i >= Checksum.Offset && i < Checksum.Offset + Checksum.Length ? (byte)' ' : header[i];
            sum += value;
            signed += (sbyte)value;
        }

        var stated = ReadOctal(Field(header, Checksum));
        if (stated != sum && stated != signed)
        {
            throw Refused("it is no tar archive, or damaged", "damaged");
        }
    }

    // Large ones are binary, big-endian, and marked by the highest bit.
    private static long ReadSize(ReadOnlySpan<byte> field)
    {
        if ((field[0] & 0x80) == 0)
        {
            return ReadOctal(field);
        }

        if (field[0] != 0x80 || field[1..4].ContainsAnyExcept((byte)0) || (field[4] & 0x80) != 0)
        {
            throw Refused("a size in it makes no sense", "damaged");
        }

        return System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(field[4..]);
    }

    private static long ReadOctal(ReadOnlySpan<byte> field)
    {
        var digits = field.Trim(" \0"u8);
        var value = 0L;
        foreach (var digit in digits)
        {
            value = digit is >= (byte)'0' and <= (byte)'7' && digits.Length <= 12
                ? (value << 3) | (long)(digit - '0')
                : throw Refused("it is no tar archive, or damaged", "damaged");
        }

        return value;
    }

    private static string ReadName(ReadOnlySpan<byte> header)
    {
        var name = TarExtension.Text(Field(header, Name));
        var prefix = Field(header, Magic).SequenceEqual("ustar\0"u8) ? TarExtension.Text(Field(header, Prefix)) : "";
        return prefix.Length > 0 ? $"{prefix}/{name}" : name;
    }

    private static ReadOnlySpan<byte> Field(ReadOnlySpan<byte> header, (int Offset, int Length) field) =>
        header.Slice(field.Offset, field.Length);

    internal static RegistryException Refused(string why, string reason) =>
        new(ErrorCode.ImageRejected, $"The OVA archive is refused: {why}.", "ova_" + reason);
}
