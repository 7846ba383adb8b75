using System.Text.Json.Nodes;
using Registry.Api.Images;

namespace Registry.Api.Schemas;

/// <summary>The JSON schemas of images and their lists. Clients build their models from them: <c>is_base</c> is how
/// Nova and glanceclient tell base attributes from custom properties (spec/glance-v2.md, 3.1 and 14).</summary>
internal static class ImageSchema
{
    /// <summary>What an id looks like.</summary>
    internal const string UuidPattern =
        "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

    /// <summary>The schema of one image.</summary>
    public static JsonObject Image(CustomProperties custom)
    {
        var properties = Properties();
        custom.Describe(properties);
        var schema = new JsonObject
        {
            ["name"] = "image",
            ["properties"] = properties,
            ["additionalProperties"] = new JsonObject { ["type"] = "string" },
            ["links"] = new JsonArray(
                Link("self", "{self}"), Link("enclosure", "{file}"), Link("describedby", "{schema}")),
        };
        if (custom.Required.Count > 0)
        {
            schema["required"] = new JsonArray([.. custom.Required.Select(name => (JsonNode)name)]);
        }

        return schema;
    }

    /// <summary>The schema of a list of images.</summary>
    public static JsonObject Images(CustomProperties custom) => Collection("images", Image(custom));

    /// <summary>The schema of one member.</summary>
    public static JsonObject Member() => new()
    {
        ["name"] = "member",
        ["properties"] = new JsonObject
        {
            ["member_id"] = Text("The project with which the image is shared.", false),
            ["image_id"] = Patterned("The image that is shared.", UuidPattern),
            ["status"] = Words(
                "Whether the member takes the image into its lists.", ["pending", "accepted", "rejected"]),
            ["created_at"] = Text("When the member was added.", false),
            ["updated_at"] = Text("When the membership last changed.", false),
            ["schema"] = Text("Path of this schema.", true),
        },
    };

    /// <summary>The schema of a list of members.</summary>
    public static JsonObject Members()
    {
        var schema = Collection("members", Member());
        schema["properties"]!.AsObject().Remove("first");
        schema["properties"]!.AsObject().Remove("next");
        schema.Remove("links");
        return schema;
    }

    private static JsonObject Properties() => new()
    {
        ["id"] = Patterned("An identifier for the image.", UuidPattern),
        ["name"] = NullableText("Descriptive name for the image.", 255),
        ["status"] = ReadOnly(Words(
            "Status of the image.", ImageAttributes.Statuses)),
        ["visibility"] = Words("Scope of image accessibility.", ImageAttributes.Visibilities),
        ["protected"] = Typed("boolean", "If true, the image will not be deletable."),
        ["os_hidden"] = Typed("boolean", "If true, the image will not appear in default image lists."),
        ["checksum"] = ReadOnly(NullableText("MD5 hash of the image contents.", 32)),
        ["os_hash_algo"] = ReadOnly(NullableText("Algorithm of os_hash_value.", 64)),
        ["os_hash_value"] = ReadOnly(NullableText("Hexadecimal digest of the image contents.", 128)),
        ["owner"] = NullableText("Owner of the image.", 255),
        ["size"] = ReadOnly(NullableInteger("Size of the stored image in bytes.")),
        ["virtual_size"] = ReadOnly(NullableInteger("Size of the disk that the image describes, in bytes.")),
        ["container_format"] = NullableWords("Format of the container.", ImageRules.ContainerFormats),
        ["disk_format"] = NullableWords("Format of the disk.", ImageRules.DiskFormats),
        ["created_at"] = ReadOnly(Text("When the image was registered.", false)),
        ["updated_at"] = ReadOnly(Text("When the image last changed.", false)),
        ["tags"] = new JsonObject
        {
            ["description"] = "List of strings related to the image.",
            ["type"] = "array",
            ["items"] = new JsonObject { ["type"] = "string", ["maxLength"] = 255 },
        },
        ["direct_url"] = ReadOnly(Text("URL of the image in the store.", false)),
        ["min_ram"] = Typed("integer", "Memory in MiB needed to boot the image."),
        ["min_disk"] = Typed("integer", "Disk in GiB needed to boot the image."),
        ["self"] = ReadOnly(Text("Path of the image.", false)),
        ["file"] = ReadOnly(Text("Path of the image's bytes.", false)),
        ["stores"] = ReadOnly(Text("Stores that have the image's bytes, separated by commas.", false)),
        ["schema"] = ReadOnly(Text("Path of this schema.", false)),
        ["locations"] = new JsonObject
        {
            ["description"] = "Where the image is stored.",
            ["type"] = "array",
            ["items"] = new JsonObject
            {
                ["type"] = "object",
                ["properties"] = new JsonObject
                {
                    ["url"] = new JsonObject { ["type"] = "string", ["maxLength"] = 255 },
                    ["metadata"] = new JsonObject { ["type"] = "object" },
                    ["validation_data"] = ValidationData(),
                },
                ["required"] = new JsonArray("url", "metadata"),
            },
        },
    };

    private static JsonObject ValidationData() => new()
    {
        ["description"] = "Hashes of the bytes. An image that is not queued must have the same.",
        ["type"] = "object",
        ["writeOnly"] = true,
        ["additionalProperties"] = false,
        ["properties"] = new JsonObject
        {
            ["checksum"] = new JsonObject { ["type"] = "string", ["minLength"] = 32, ["maxLength"] = 32 },
            ["os_hash_algo"] = new JsonObject { ["type"] = "string", ["maxLength"] = 64 },
            ["os_hash_value"] = new JsonObject { ["type"] = "string", ["maxLength"] = 128 },
        },
        ["required"] = new JsonArray("os_hash_algo", "os_hash_value"),
    };

    private static JsonObject Collection(string name, JsonObject item) => new()
    {
        ["name"] = name,
        ["properties"] = new JsonObject
        {
            [name] = new JsonObject { ["type"] = "array", ["items"] = item },
            ["first"] = new JsonObject { ["type"] = "string" },
            ["next"] = new JsonObject { ["type"] = "string" },
            ["schema"] = new JsonObject { ["type"] = "string" },
        },
        ["links"] = new JsonArray(
            Link("first", "{first}"), Link("next", "{next}"), Link("describedby", "{schema}")),
    };

    private static JsonObject Link(string rel, string href) => new() { ["rel"] = rel, ["href"] = href };

    private static JsonObject Typed(string type, string description) =>
        new() { ["type"] = type, ["description"] = description };

    private static JsonObject Text(string description, bool isReadOnly)
    {
        var schema = Typed("string", description);
        return isReadOnly ? ReadOnly(schema) : schema;
    }

    private static JsonObject Patterned(string description, string pattern)
    {
        var schema = Typed("string", description);
        schema["pattern"] = pattern;
        return schema;
    }

    private static JsonObject NullableText(string description, int lengthMax) => new()
    {
        ["type"] = new JsonArray("null", "string"),
        ["description"] = description,
        ["maxLength"] = lengthMax,
    };

    private static JsonObject NullableInteger(string description) => new()
    {
        ["type"] = new JsonArray("null", "integer"),
        ["description"] = description,
    };

    private static JsonObject Words(string description, IEnumerable<string> words) => new()
    {
        ["type"] = "string",
        ["description"] = description,
        ["enum"] = new JsonArray([.. words.Select(w => (JsonNode)w)]),
    };

    private static JsonObject NullableWords(string description, IEnumerable<string> words) => new()
    {
        ["type"] = new JsonArray("null", "string"),
        ["description"] = description,
        ["enum"] = new JsonArray([null, .. words.Select(w => (JsonNode?)w)]),
    };

    private static JsonObject ReadOnly(JsonObject schema)
    {
        schema["readOnly"] = true;
        return schema;
    }
}
