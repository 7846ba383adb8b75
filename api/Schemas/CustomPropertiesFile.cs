using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Schemas;

/// <summary>Reads a schema-image.json: an object of property names and their JSON schemas, or, to require some of them,
/// <c>{"properties": {…}, "required": […]}</c>.</summary>
internal static class CustomPropertiesFile
{
    private const long LengthMax = 1 << 20;

    /// <summary>What is described without a file.</summary>
    public static IReadOnlyDictionary<string, CustomProperty> Defaults() => new Dictionary<string, CustomProperty>
    {
        ["kernel_id"] = Id("Id of the image to use as the kernel of an AMI-style image."),
        ["ramdisk_id"] = Id("Id of the image to use as the ramdisk of an AMI-style image."),
        ["instance_uuid"] = Text("Id of the instance the image was made from."),
        ["architecture"] = Text("Operating system architecture."),
        ["os_distro"] = Text("Common name of the operating system distribution."),
        ["os_version"] = Text("Operating system version as its distributor says it."),
        ["description"] = Text("A description of the image for people."),
        ["cinder_encryption_key_id"] = Text("Id in the key manager of the volume's encryption key."),
        ["cinder_encryption_key_deletion_policy"] = Of(
            "cinder_encryption_key_deletion_policy",
            new JsonObject
            {
                ["type"] = "string",
                ["description"] = "What happens to the encryption key when the image is deleted.",
                ["enum"] = new JsonArray("on_image_deletion", "do_not_delete"),
            }),
    };

    /// <summary>Reads a file.</summary>
    /// <exception cref="ConfigurationException">It cannot be used; says where.</exception>
    public static (IReadOnlyDictionary<string, CustomProperty> Properties, IReadOnlyList<string> Required) Read(string path)
    {
        try
        {
            if (new FileInfo(path).Length > LengthMax)
            {
                throw new FormatException($"it is larger than {LengthMax} bytes");
            }

            var root = JsonNode.Parse(
                File.ReadAllBytes(path), documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false })
                as JsonObject ?? throw new FormatException("it is no JSON object");

            // A property may well be called "required"; then its schema is an object.
            var isWrapped = root["properties"] is JsonObject
                && root.All(member => member.Key is "properties" || member is { Key: "required", Value: JsonArray });
            var described = isWrapped ? root["properties"]!.AsObject() : root;
            var properties = described.ToDictionary(member => member.Key, member => Of(member.Key, member.Value));
            var required = isWrapped && root["required"] is JsonArray names
                ? names.Select(name => Word(name, "required")).ToList()
                : [];
            return required.Find(name => !properties.ContainsKey(name)) is { } unknown
                ? throw new FormatException($"'{unknown}' is required and not described")
                : (properties, required);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or FormatException)
        {
            throw new ConfigurationException($"Registry:ImageSchema:File '{path}' cannot be used: {e.Message}");
        }
    }

    private static CustomProperty Id(string description)
    {
        const string uuid = ImageSchema.UuidPattern;
        return new CustomProperty(
            new JsonObject
            {
                ["description"] = description,
                ["type"] = new JsonArray("null", "string"),
                ["pattern"] = uuid,
                ["is_base"] = false,
            },
            Words: null, Pattern: null, 0, int.MaxValue); // what an id is, ImageRules knows
    }

    private static CustomProperty Text(string description) =>
        Of("", new JsonObject { ["type"] = "string", ["description"] = description });

    private static CustomProperty Of(string name, JsonNode? node)
    {
        if (ImageAttributes.IsBase(name) || name.StartsWith("os_glance", StringComparison.Ordinal))
        {
            throw new FormatException($"'{name}' is not a custom property");
        }

        var schema = node as JsonObject ?? throw new FormatException($"'{name}' has no JSON object");
        IReadOnlyList<string>? words = null;
        Regex? pattern = null;
        var (lengthMin, lengthMax) = (0, int.MaxValue);
        foreach (var (keyword, value) in schema)
        {
            switch (keyword)
            {
                case "description" or "title":
                    Word(value, $"{name}.{keyword}");
                    break;
                case "type":
                    RequireText(name, value);
                    break;
                case "enum":
                    words = [.. (value as JsonArray ?? throw Wrong(name, keyword)).Where(word => word is not null)
                        .Select(word => Word(word, $"{name}.enum"))];
                    break;
                case "pattern":
                    pattern = ReadPattern(name, Word(value, $"{name}.pattern"));
                    break;
                case "minLength":
                    lengthMin = Number(value) ?? throw Wrong(name, keyword);
                    break;
                case "maxLength":
                    lengthMax = Number(value) ?? throw Wrong(name, keyword);
                    break;
                case "is_base":
                    break;
                default:
                    throw new FormatException($"'{name}' has '{keyword}', which is not known here");
            }
        }

        var told = schema.DeepClone().AsObject();
        told["is_base"] = false;
        return new CustomProperty(told, words, pattern, lengthMin, lengthMax);
    }

    // The values of custom properties are text; null is what the two ids may be besides.
    private static void RequireText(string name, JsonNode? type)
    {
        string[] types = type is JsonArray several
            ? [.. several.Select(one => Word(one, $"{name}.type"))]
            : [Word(type, $"{name}.type")];
        var mayBeNull = ImageProperty.MayBeNull(name);
        if (!types.Contains("string") || types.Any(one => one != "string" && !(mayBeNull && one == "null")))
        {
            throw new FormatException($"the type of '{name}' must be string");
        }
    }

    private static Regex ReadPattern(string name, string pattern)
    {
        try
        {
            return new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new FormatException($"the pattern of '{name}' cannot be used: {e.Message}");
        }
    }

    private static int? Number(JsonNode? value) =>
        value is JsonValue number && number.TryGetValue<int>(out var length) && length >= 0 ? length : null;

    private static string Word(JsonNode? value, string where) =>
        value is JsonValue text && text.TryGetValue<string>(out var word)
            ? word
            : throw new FormatException($"'{where}' must be text");

    private static FormatException Wrong(string name, string keyword) =>
        new($"'{keyword}' of '{name}' cannot be used");
}
