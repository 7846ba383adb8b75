using System.Globalization;
using System.Text;
using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>A file in a tar archive.</summary>
/// <param name="Name">Its name; nothing is ever written under it.</param>
/// <param name="Offset">Where its bytes begin in the archive.</param>
/// <param name="Length">How many there are, 0 or more.</param>
internal readonly record struct TarMember(string Name, long Offset, long Length);

/// <summary>Reads part of an archive: from an offset until the buffer is full.</summary>
internal delegate ValueTask TarRead(long offset, Memory<byte> buffer, CancellationToken cancellationToken);

/// <summary>What files a tar archive has, and where: the headers are read and the files skipped.</summary>
/// <remarks>Layout: POSIX.1-1988 (ustar) with the extended headers of POSIX.1-2001 (pax) and GNU's long names. Archives of
/// virtual machines hold plain files; whatever else there could be (links, devices, sparse files) is refused, and so is
/// every way of saying one thing twice.</remarks>
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
        var next = new Extension(null, null);
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
                Add(members, new TarMember(next.Name ?? ReadName(header), data, size));
                next = new Extension(null, null);
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

    private static async Task<Extension> ReadOtherAsync(
        TarRead read, byte type, long data, long size, Extension next, CancellationToken cancellationToken)
    {
        if (type == (byte)'5')
        {
            return size == 0 ? new Extension(null, null) : throw Refused("a directory in it has bytes", "damaged");
        }

        if (type is not ((byte)'x' or (byte)'g' or (byte)'L') || size > ExtensionBytesMax)
        {
            throw Refused("it holds something else than files", "odd_members");
        }

        var bytes = new byte[size];
        await read(data, bytes, cancellationToken);
        return type == (byte)'L'
            ? next with { Name = Once(next.Name, Clean(Text(bytes))) }
            : ReadRecords(bytes, isGlobal: type == (byte)'g', next);
    }

    // "LENGTH KEY=VALUE\n", where the length counts all of it.
    private static Extension ReadRecords(ReadOnlySpan<byte> bytes, bool isGlobal, Extension next)
    {
        while (bytes.Length > 0)
        {
            var blank = bytes.IndexOf((byte)' ');
            var isLength = int.TryParse(
                bytes[..Math.Max(blank, 0)], NumberStyles.None, CultureInfo.InvariantCulture, out var length);
            if (!isLength || length <= blank + 1 || length > bytes.Length || bytes[length - 1] != '\n')
            {
                throw Refused("an extended header is damaged", "damaged");
            }

            var record = bytes[(blank + 1)..(length - 1)];
            var equals = record.IndexOf((byte)'=');
            if (equals <= 0)
            {
                throw Refused("an extended header is damaged", "damaged");
            }

            var (key, value) = (Text(record[..equals]), Text(record[(equals + 1)..]));
            if (key.StartsWith("GNU.sparse", StringComparison.Ordinal) || (isGlobal && key is "path" or "size" or "linkpath"))
            {
                throw Refused("it holds something else than files", "odd_members");
            }

            next = key switch
            {
                "path" => next with { Name = Once(next.Name, Clean(value)) },
                "size" when next.Size is null && long.TryParse(
                    value, NumberStyles.None, CultureInfo.InvariantCulture, out var size) => next with { Size = size },
                "size" => throw Refused("an extended header is damaged", "damaged"),
                _ => next,
            };
            bytes = bytes[length..];
        }

        return next;
    }

    private static string Once(string? before, string name) =>
        before is null ? name : throw Refused("a file in it has two names", "damaged");

    private static void RequireChecksum(ReadOnlySpan<byte> header)
    {
        var sum = 0;
        for (var i = 0; i < Block; i++)
        {
            sum += i >= Checksum.Offset && i < Checksum.Offset + Checksum.Length ? ' ' : header[i];
        }

        if (ReadOctal(Field(header, Checksum)) != sum)
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
        var name = Text(Field(header, Name));
        var prefix = Field(header, Magic).SequenceEqual("ustar\0"u8) ? Text(Field(header, Prefix)) : "";
        return Clean(prefix.Length > 0 ? $"{prefix}/{name}" : name);
    }

    private static string Clean(string name) => name.StartsWith("./", StringComparison.Ordinal) ? name[2..] : name;

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private static ReadOnlySpan<byte> Field(ReadOnlySpan<byte> header, (int Offset, int Length) field) =>
        header.Slice(field.Offset, field.Length);

    private static RegistryException Refused(string why, string reason) =>
        new(ErrorCode.ImageRejected, $"The OVA archive is refused: {why}.", "ova_" + reason);

    private sealed record Extension(string? Name, long? Size);
}
