using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>What an image's attributes may be, whoever sets them: the checks HTTP and gRPC share
/// (spec/glance-v2.md, 3.1).</summary>
public static class ImageRules
{
    /// <summary>Disk formats that may be declared.</summary>
    public static readonly IReadOnlyList<string> DiskFormats =
        ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];

    /// <summary>Container formats that may be declared.</summary>
    public static readonly IReadOnlyList<string> ContainerFormats =
        ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];

    private const int TextLengthMax = 255;
    private const int ValueLengthMax = 65535;

    /// <summary>Checks an id chosen by the client: a canonical dashed UUID, any case, kept as it is.</summary>
    public static string Id(string id) =>
        BlobLayout.IsCanonicalId(id) ? id : throw Bad($"'{Shown(id)}' is not a UUID for id.");

    /// <summary>Checks a name or owner.</summary>
    public static string? Text(string attribute, string? value)
    {
        if (value is null)
        {
            return null;
        }

        if (CountCharacters(value) > TextLengthMax)
        {
            throw Bad($"'{attribute}' is longer than {TextLengthMax} characters.");
        }

        RequireBasicPlane(attribute, value);
        return value;
    }

    /// <summary>Checks a disk format; null or empty means not set.</summary>
    public static string? DiskFormat(string? value) => OneOf("disk_format", value, DiskFormats);

    /// <summary>Checks a container format; null or empty means not set.</summary>
    public static string? ContainerFormat(string? value) => OneOf("container_format", value, ContainerFormats);

    /// <summary>Reads a visibility.</summary>
    public static ImageVisibility Visibility(string value) =>
        ImageVisibilities.TryParse(value, out var visibility)
            ? visibility
            : throw Bad($"'{Shown(value)}' is not one of {string.Join(", ", ImageAttributes.Visibilities)} for visibility.");

    /// <summary>Checks min_disk (GiB) or min_ram (MiB): 0 to 2^31 - 1.</summary>
    public static int Minimum(string attribute, long value) =>
        value is >= 0 and <= int.MaxValue
            ? (int)value
            : throw Bad($"'{attribute}' must be between 0 and {int.MaxValue}.");

    /// <summary>Checks a tag.</summary>
    public static string Tag(string value)
    {
        if (value.Length == 0 || CountCharacters(value) > TextLengthMax)
        {
            throw Bad($"A tag must have 1 to {TextLengthMax} characters.");
        }

        RequireNoNul("tag", value);
        return value;
    }

    /// <summary>Checks the name of a custom property.</summary>
    public static string PropertyName(string name)
    {
        if (ImageAttributes.IsBase(name))
        {
            throw new RegistryException(ErrorCode.Forbidden, $"Attribute '{name}' is no custom property.");
        }

        if (name.Length == 0 || CountCharacters(name) > TextLengthMax)
        {
            throw Bad($"A property name must have 1 to {TextLengthMax} characters.");
        }

        RequireBasicPlane("property name", name);
        return name;
    }

    /// <summary>Checks the value of a custom property.</summary>
    public static string PropertyValue(string name, string value)
    {
        RequireBasicPlane(name, value);
        if (value.Length > ValueLengthMax)
        {
            throw Bad($"The value of '{name}' is longer than {ValueLengthMax} characters.");
        }

        if (ImageProperty.MayBeNull(name) && value != ImageProperty.Null && !BlobLayout.IsCanonicalId(value))
        {
            throw Bad($"'{Shown(value)}' is not a UUID for {name}.");
        }

        return value;
    }

    /// <summary>Refuses U+0000, which PostgreSQL cannot keep in a text.</summary>
    public static void RequireNoNul(string attribute, string value)
    {
        if (value.Contains('\0'))
        {
            throw Bad($"'{attribute}' has a NUL character.");
        }
    }

    /// <summary>Refuses a name that is kept for the server itself.</summary>
    public static void RequireNotReserved(string name)
    {
        if (name is "location" or "locations" or "deleted" or "deleted_at"
            || name.StartsWith("os_glance", StringComparison.Ordinal))
        {
            throw new RegistryException(ErrorCode.Forbidden, $"Attribute '{Shown(name)}' is reserved.");
        }
    }

    /// <summary>Refuses more than the allowed count; a negative maximum allows any.</summary>
    public static void RequireCount(string what, int count, int max)
    {
        if (max >= 0 && count > max)
        {
            throw new RegistryException(
                ErrorCode.TooLarge,
                $"The limit has been exceeded on the number of allowed image {what}. " +
                $"Attempted: {count}, Maximum: {max}");
        }
    }

    /// <summary>A value cut to a length that is fit for a message.</summary>
    public static string Shown(string value) => value.Length <= 80 ? value : string.Concat(value.AsSpan(0, 80), "…");

    /// <summary>A refusal of a malformed value.</summary>
    public static RegistryException Bad(string message) => new(ErrorCode.BadRequest, message);

    private static string? OneOf(string attribute, string? value, IReadOnlyList<string> words)
    {
        if (string.IsNullOrEmpty(value))
        {
            return null;
        }

        return words.Contains(value)
            ? value
            : throw Bad(
                $"Invalid value '{Shown(value)}' for {attribute}; it must be one of {string.Join(", ", words)}.");
    }

    private static int CountCharacters(string value) => value.EnumerateRunes().Count();

    /// <summary>Refuses characters of four bytes in UTF-8, and U+0000.</summary>
    public static void RequireBasicPlane(string attribute, string value)
    {
        // Glance keeps names in three-byte UTF-8; clients that replicate between the two rely on the same refusal.
        if (value.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0)
        {
            throw Bad($"'{attribute}' has a character of four bytes in UTF-8, which is not allowed.");
        }

        RequireNoNul(attribute, value);
    }
}
