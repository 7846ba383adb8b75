using System.Collections.Frozen;
using System.Text.Json;
using Registry.Storage.Domain;

namespace Registry.Api.Images;

/// <summary>The base attributes of an image in the API and the JSON types they take (spec/glance-v2.md, 3.1 and
/// 4).</summary>
public static class ImageAttributes
{
    private enum Kind
    {
        Text,
        NullableText,
        Boolean,
        Integer,
        NullableInteger,
        TextArray,
        Array,
    }

    private static readonly FrozenDictionary<string, Kind> Kinds = new Dictionary<string, Kind>
    {
        ["id"] = Kind.Text,
        ["name"] = Kind.NullableText,
        ["owner"] = Kind.NullableText,
        ["status"] = Kind.Text,
        ["visibility"] = Kind.Text,
        ["disk_format"] = Kind.NullableText,
        ["container_format"] = Kind.NullableText,
        ["checksum"] = Kind.NullableText,
        ["os_hash_algo"] = Kind.NullableText,
        ["os_hash_value"] = Kind.NullableText,
        ["size"] = Kind.NullableInteger,
        ["virtual_size"] = Kind.NullableInteger,
        ["min_disk"] = Kind.Integer,
        ["min_ram"] = Kind.Integer,
        ["protected"] = Kind.Boolean,
        ["os_hidden"] = Kind.Boolean,
        ["tags"] = Kind.TextArray,
        ["locations"] = Kind.Array,
        ["created_at"] = Kind.Text,
        ["updated_at"] = Kind.Text,
        ["direct_url"] = Kind.Text,
        ["self"] = Kind.Text,
        ["file"] = Kind.Text,
        ["schema"] = Kind.Text,
        ["stores"] = Kind.Text,
    }.ToFrozenDictionary();

    /// <summary>Base attributes that only the server sets; a PATCH of one is refused with 403.</summary>
    public static readonly FrozenSet<string> ReadOnly = FrozenSet.Create(
        "id", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value", "created_at", "updated_at",
        "direct_url", "self", "file", "schema");

    private static readonly FrozenSet<string> RefusedOnCreate = FrozenSet.Create(
        "status", "checksum", "size", "virtual_size", "created_at", "updated_at", "direct_url", "self", "file",
        "schema", "stores");

    /// <summary>Whether a name is a base attribute; anything else is a custom property.</summary>
    public static bool IsBase(string name) => Kinds.ContainsKey(name);

    /// <summary>Checks a value against the image schema.</summary>
    /// <exception cref="RegistryException">BadRequest: the type is wrong.</exception>
    public static void RequireType(string name, JsonElement value)
    {
        if (!Kinds.TryGetValue(name, out var kind))
        {
            // Only kernel_id and ramdisk_id may be null among the properties that the schema knows.
            var isNullable = name is "kernel_id" or "ramdisk_id";
            Require(
                value.ValueKind == JsonValueKind.String || (isNullable && value.ValueKind == JsonValueKind.Null),
                name,
                value,
                "string");
            return;
        }

        var isNull = value.ValueKind == JsonValueKind.Null;
        switch (kind)
        {
            case Kind.Text:
                Require(value.ValueKind == JsonValueKind.String, name, value, "string");
                break;
            case Kind.NullableText:
                Require(isNull || value.ValueKind == JsonValueKind.String, name, value, "string or null");
                break;
            case Kind.Boolean:
                Require(value.ValueKind is JsonValueKind.True or JsonValueKind.False, name, value, "boolean");
                break;
            case Kind.Integer:
                Require(value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _), name, value, "integer");
                break;
            case Kind.NullableInteger:
                Require(
                    isNull || (value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _)),
                    name,
                    value,
                    "integer or null");
                break;
            case Kind.TextArray:
                Require(
                    value.ValueKind == JsonValueKind.Array
                        && value.EnumerateArray().All(v => v.ValueKind == JsonValueKind.String),
                    name, value, "array of strings");
                break;
            default:
                Require(value.ValueKind == JsonValueKind.Array, name, value, "array");
                break;
        }
    }

    /// <summary>Reads the body of a create request.</summary>
    /// <exception cref="RegistryException">BadRequest for what the schema refuses, then Forbidden for read-only and
    /// reserved attributes.</exception>
    public static ImageDraft ReadDraft(JsonElement body)
    {
        if (body.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad("The body must be a JSON object.");
        }

        foreach (var member in body.EnumerateObject())
        {
            RequireType(member.Name, member.Value);
        }

        var draft = new ImageDraft();
        var properties = new Dictionary<string, string>();
        foreach (var member in body.EnumerateObject())
        {
            var (name, value) = (member.Name, member.Value);
            if (RefusedOnCreate.Contains(name))
            {
                throw new RegistryException(ErrorCode.Forbidden, $"Attribute '{name}' is read-only.");
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
                "min_disk" => draft with { MinDisk = value.GetInt64() },
                "min_ram" => draft with { MinRam = value.GetInt64() },
                "protected" => draft with { IsProtected = value.GetBoolean() },
                "os_hidden" => draft with { IsHidden = value.GetBoolean() },
                "tags" => draft with { Tags = [.. value.EnumerateArray().Select(v => v.GetString()!)] },
                "os_hash_algo" or "os_hash_value" => draft, // accepted and ignored, as Glance does
                _ => draft,
            };
            if (!IsBase(name) && value.ValueKind == JsonValueKind.String)
            {
                properties[name] = value.GetString()!;
            }
        }

        return draft with { Properties = properties };
    }

    private static void Require(bool condition, string name, JsonElement value, string type)
    {
        if (!condition)
        {
            throw ImageRules.Bad(
                $"Provided object does not match schema 'image': {ImageRules.Shown(value.GetRawText())} is not of " +
                $"type {type} for '{ImageRules.Shown(name)}'.");
        }
    }
}
