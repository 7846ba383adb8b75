using System.Buffers;
using System.Text;
using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Metadefs;

/// <summary>What the definition of a property may say (spec/glance-v2.md, 11): a part of JSON schema, and
/// operators.</summary>
internal static class PropertyType
{
    private static readonly string[] Types = ["array", "boolean", "integer", "number", "object", "string"];

    // In the order in which they are shown.
    private static readonly (string Name, Func<JsonElement, bool> IsValid, string Expected)[] Attributes =
    [
        ("name", IsText, "a string"),
        ("title", IsText, "a string"),
        ("description", IsText, "a string"),
        ("operators", v => IsListOf(v, IsText), "an array of strings"),
        ("type", IsType, "one of array, boolean, integer, number, object, string"),
        ("required", IsSetOfTexts, "an array of one or more different strings"),
        ("minimum", PropertyNumbers.IsFinite, "a number"),
        ("maximum", PropertyNumbers.IsFinite, "a number"),
        ("minLength", PropertyNumbers.IsCount, "a whole number of 0 or more"),
        ("maxLength", PropertyNumbers.IsCount, "a whole number of 0 or more"),
        ("pattern", IsText, "a string"),
        ("enum", v => IsListOf(v, _ => true), "an array"),
        ("readonly", IsBoolean, "true or false"),
        ("default", _ => true, "anything"),
        ("items", IsItems, "an object of type and enum"),
        ("minItems", PropertyNumbers.IsCount, "a whole number of 0 or more"),
        ("maxItems", PropertyNumbers.IsCount, "a whole number of 0 or more"),
        ("uniqueItems", IsBoolean, "true or false"),
        ("additionalItems", IsBoolean, "true or false"),
    ];

    /// <summary>Checks definitions of properties by name.</summary>
    /// <returns>Names and checked definitions, as JSON text.</returns>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static IReadOnlyList<KeyValuePair<string, string>> ReadAll(JsonElement properties)
    {
        MetadefFields.RequireObject(properties, "properties");
        return
        [
            .. properties.EnumerateObject().Select(p =>
                KeyValuePair.Create(MetadefFields.Name("property name", p.Name), Read(p.Name, p.Value))),
        ];
    }

    /// <summary>Checks the definition of a property.</summary>
    /// <param name="name">The property.</param>
    /// <param name="definition">The definition; may have a name of its own.</param>
    /// <returns>The definition as JSON text.</returns>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static string Read(string name, JsonElement definition)
    {
        MetadefFields.RequireObject(definition, name);
        foreach (var attribute in definition.EnumerateObject())
        {
            if (!Array.Exists(Attributes, a => a.Name == attribute.Name))
            {
                throw ImageRules.Bad(
                    $"Property {ImageRules.Shown(name)} cannot have '{ImageRules.Shown(attribute.Name)}'.");
            }
        }

        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text))
        {
            json.WriteStartObject();
            foreach (var (attribute, isValid, expected) in Attributes)
            {
                if (definition.TryGetProperty(attribute, out var value))
                {
                    if (!isValid(value))
                    {
                        throw ImageRules.Bad(
                            $"'{attribute}' of property {ImageRules.Shown(name)} must be {expected}.");
                    }

                    json.WritePropertyName(attribute);
                    Write(json, attribute, value);
                }
                else if (attribute is "title" or "type")
                {
                    throw ImageRules.Bad($"Property {ImageRules.Shown(name)} has no '{attribute}'.");
                }
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, string attribute, JsonElement value)
    {
        if (attribute == "default")
        {
            PropertyNumbers.WriteDefault(json, value);
        }
        else if (value.ValueKind == JsonValueKind.Number)
        {
            PropertyNumbers.WriteWhole(json, value);
        }
        else
        {
            value.WriteTo(json);
        }
    }

    private static bool IsText(JsonElement value) => value.ValueKind == JsonValueKind.String;

    private static bool IsSetOfTexts(JsonElement value) =>
        IsListOf(value, IsText) && value.GetArrayLength() is var count and > 0
        && value.EnumerateArray().Select(text => text.GetString()).Distinct(StringComparer.Ordinal).Count() == count;

    private static bool IsBoolean(JsonElement value) => value.ValueKind is JsonValueKind.True or JsonValueKind.False;

    private static bool IsType(JsonElement value) => IsText(value) && Types.Contains(value.GetString());

    private static bool IsListOf(JsonElement value, Func<JsonElement, bool> isValid) =>
        value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(isValid);

    private static bool IsItems(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object
        && value.EnumerateObject().All(p => p.Name switch
        {
            "type" => IsType(p.Value),
            "enum" => p.Value.ValueKind == JsonValueKind.Array,
            _ => false,
        });
}
