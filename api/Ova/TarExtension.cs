using System.Globalization;
using System.Text;
using Registry.Storage.Domain;

namespace Registry.Api.Ova;

/// <summary>What the headers before a file's own say of it.</summary>
/// <param name="Name">Its name; null where they do not say.</param>
/// <param name="Size">Its length in bytes; null where they do not say.</param>
internal sealed record TarExtension(string? Name, long? Size)
{
    /// <summary>Adds a name, as GNU tar writes long ones.</summary>
    /// <exception cref="RegistryException">ImageRejected: there is one already.</exception>
    public TarExtension Named(ReadOnlySpan<byte> name) => this with { Name = Once(Name, Text(name)) };

    /// <summary>Adds what an extended header says: records "LENGTH KEY=VALUE\n", where the length counts all of
    /// it.</summary>
    /// <exception cref="RegistryException">ImageRejected: it is damaged, or says something twice.</exception>
    public TarExtension With(ReadOnlySpan<byte> bytes, bool isGlobal)
    {
        var next = this;
        while (bytes.Length > 0)
        {
            var blank = bytes.IndexOf((byte)' ');
            var isLength = int.TryParse(
                bytes[..Math.Max(blank, 0)], NumberStyles.None, CultureInfo.InvariantCulture, out var length);
            if (!isLength || length <= blank + 1 || length > bytes.Length || bytes[length - 1] != '\n')
            {
                throw TarIndex.Refused("an extended header is damaged", "damaged");
            }

            var record = bytes[(blank + 1)..(length - 1)];
            var equals = record.IndexOf((byte)'=');
            if (equals <= 0)
            {
                throw TarIndex.Refused("an extended header is damaged", "damaged");
            }

            var (key, value) = (Text(record[..equals]), Text(record[(equals + 1)..]));
            if (key.StartsWith("GNU.sparse", StringComparison.Ordinal)
                || (isGlobal && key is "path" or "size" or "linkpath"))
            {
                throw TarIndex.Refused("it holds something else than files", "odd_members");
            }

            next = key switch
            {
                "path" => next with { Name = Once(next.Name, value) },
                "size" when next.Size is null && long.TryParse(
                    value, NumberStyles.None, CultureInfo.InvariantCulture, out var size) => next with { Size = size },
                "size" => throw TarIndex.Refused("an extended header is damaged", "damaged"),
                _ => next,
            };
            bytes = bytes[length..];
        }

        return next;
    }

    /// <summary>A text up to its NUL.</summary>
    public static string Text(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private static string Once(string? before, string name) =>
        before is null ? name : throw TarIndex.Refused("a file in it has two names", "damaged");
}
