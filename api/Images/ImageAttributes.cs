using System.Collections.Frozen;
using System.Text.Json;
using Registry.Api.Schemas;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>The base attributes of an image in the API and the JSON types they take (spec/glance-v2.md, 3.1 and
/// 4).</summary>
public static class ImageAttributes
{
    private static readonly FrozenDictionary<string, AttributeType> Types = new Dictionary<string, AttributeType>
    {
        ["id"] = AttributeType.Id,
        ["name"] = Nullable(AttributeType.Text, 255),
        ["owner"] = Nullable(AttributeType.Text, 255),
        ["status"] = AttributeType.Text with { Words = Statuses },
        ["visibility"] = AttributeType.Text with { Words = Visibilities },
        ["disk_format"] = Nullable(AttributeType.Text) with { Words = ImageRules.DiskFormats },
        ["container_format"] = Nullable(AttributeType.Text) with { Words = ImageRules.ContainerFormats },
        ["checksum"] = Nullable(AttributeType.Text, 32),
        ["os_hash_algo"] = Nullable(AttributeType.Text, 64),
        ["os_hash_value"] = Nullable(AttributeType.Text, 128),
        ["size"] = Nullable(AttributeType.Integer),
        ["virtual_size"] = Nullable(AttributeType.Integer),
        ["min_disk"] = AttributeType.Integer,
        ["min_ram"] = AttributeType.Integer,
        ["protected"] = AttributeType.Boolean,
        ["os_hidden"] = AttributeType.Boolean,
        ["tags"] = AttributeType.Tags,
        ["locations"] = AttributeType.Locations,
        ["created_at"] = AttributeType.Text,
        ["updated_at"] = AttributeType.Text,
        ["direct_url"] = AttributeType.Text,
        ["self"] = AttributeType.Text,
        ["file"] = AttributeType.Text,
        ["schema"] = AttributeType.Text,
        ["stores"] = AttributeType.Text,
    }.ToFrozenDictionary();

    /// <summary>Base attributes that only the server sets; a PATCH of one is refused with 403.</summary>
    public static readonly FrozenSet<string> ReadOnly = FrozenSet.Create(
        "id", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value", "created_at", "updated_at",
        "direct_url", "self", "file", "schema");

    private static readonly FrozenSet<string> RefusedOnCreate = FrozenSet.Create(
        "status", "checksum", "size", "virtual_size", "created_at", "updated_at");

    // Refused on create before the schema is looked at.
    private static readonly FrozenSet<string> Derived =
        FrozenSet.Create("direct_url", "self", "file", "schema", "stores");

    /// <summary>The words for an image's status, those of images that are never shown included.</summary>
    internal static IReadOnlyList<string> Statuses =>
    [
        "queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated",
    ];

    /// <summary>The words for an image's visibility.</summary>
    internal static IReadOnlyList<string> Visibilities => ["community", "public", "private", "shared"];

    /// <summary>Whether a name is a base attribute; anything else is a custom property.</summary>
    public static bool IsBase(string name) => Types.ContainsKey(name);

    /// <summary>Checks a value against the image schema.</summary>
    /// <exception cref="RegistryException">BadRequest: the value is not what the schema allows.</exception>
    public static void RequireValid(string name, JsonElement value, CustomProperties custom)
    {
        if ((Types.TryGetValue(name, out var type) ? type.Problem(value) : custom.Problem(name, value)) is { } problem)
        {
            throw ImageRules.Bad(
                $"Provided object does not match schema 'image': {ImageRules.Shown(value.GetRawText())} {problem} for " +
                $"'{ImageRules.Shown(name)}'.");
        }
    }

    /// <summary>Reads the body of a create request.</summary>
    /// <exception cref="RegistryException">Forbidden for what is derived from other attributes, then BadRequest for what
    /// the schema refuses, then Forbidden for read-only and reserved attributes.</exception>
    public static ImageDraft ReadDraft(JsonElement body, CustomProperties custom)
    {
        if (body.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("The body must be a JSON object.");
        }

        if (body.EnumerateObject().Select(member => member.Name).FirstOrDefault(Derived.Contains) is { } derived)
        {
            throw ReadOnlyAttribute(derived);
        }

        foreach (var member in body.EnumerateObject())
        {
            RequireValid(member.Name, member.Value, custom);
        }

        var draft = new ImageDraft();
        var properties = new Dictionary<string, string>();
        foreach (var member in body.EnumerateObject())
        {
            var (name, value) = (member.Name, member.Value);
            if (RefusedOnCreate.Contains(name))
            {
                throw ReadOnlyAttribute(name);
            }

            ImageRules.RequireNotReserved(name);
            draft = name switch
            {
                "id" => draft with { Id = value.GetString() },
                "name" => draft with { Name = value.GetString() },
                "owner" => draft with { Owner = value.GetString(), HasOwner = true },
                "visibility" => draft with { Visibility = value.GetString()! },
                "disk_format" => draft with { DiskFormat = value.GetString() },
                "container_format" => draft with { ContainerFormat = value.GetString() },
                "min_disk" => draft with { MinDisk = Integer(value) },
                "min_ram" => draft with { MinRam = Integer(value) },
                "protected" => draft with { IsProtected = value.GetBoolean() },
                "os_hidden" => draft with { IsHidden = value.GetBoolean() },
                "tags" => draft with { Tags = [.. value.EnumerateArray().Select(v => v.GetString()!)] },
                "os_hash_algo" or "os_hash_value" => draft, // accepted and ignored, as Glance does
                _ => draft,
            };
            if (!IsBase(name))
            {
                properties[name] = value.GetString() ?? ImageProperty.Null;
            }
        }

        return draft with { Properties = properties };
    }

    /// <summary>The number of an integer that was found to be valid.</summary>
    internal static long Integer(JsonElement value) => AttributeType.TryReadInteger(value, out var number) ? number : 0;

    /// <summary>The refusal of an attribute that only the server sets.</summary>
    internal static RegistryException ReadOnlyAttribute(string name) =>
        new(ErrorCode.Forbidden, $"Attribute '{name}' is read-only.");

    private static AttributeType Nullable(AttributeType type, int lengthMax = int.MaxValue) =>
        type with { IsNullable = true, LengthMax = lengthMax };
}
