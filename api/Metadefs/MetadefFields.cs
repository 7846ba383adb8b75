using System.Text.Json;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Metadefs;

/// <summary>Reads single attributes of metadata definitions and says what is wrong with them.</summary>
internal static class MetadefFields
{
    private const int NameLengthMax = 80;

    /// <summary>Refuses what is no JSON object.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static void RequireObject(JsonElement element, string what)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            throw ImageRules.Bad($"Expected a JSON object for {ImageRules.Shown(what)}.");
        }
    }

    /// <summary>Refuses attributes that do not exist, and those that only the server sets.</summary>
    /// <param name="element">The object.</param>
    /// <param name="what">What it is, for messages.</param>
    /// <param name="known">Attributes that may be there.</param>
    /// <param name="readOnly">Attributes that only the server sets.</param>
    /// <param name="areReadOnlyIgnored">Whether those may be there all the same: a client sends back what it got.</param>
    /// <exception cref="RegistryException">BadRequest; Forbidden.</exception>
    public static void RequireKnown(
        JsonElement element, string what, string[] known, string[] readOnly, bool areReadOnlyIgnored)
    {
        RequireObject(element, what);
        foreach (var attribute in element.EnumerateObject())
        {
            if (readOnly.Contains(attribute.Name))
            {
                if (!areReadOnlyIgnored)
                {
                    throw new RegistryException(
                        ErrorCode.Forbidden, $"Attribute '{attribute.Name}' is read-only.", "read_only");
                }
            }
            else if (!known.Contains(attribute.Name))
            {
                throw ImageRules.Bad($"A {what} has no attribute '{ImageRules.Shown(attribute.Name)}'.");
            }
        }
    }

    /// <summary>Reads a name that must be there.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static string RequiredName(JsonElement element, string attribute) =>
        Text(element, attribute, NameLengthMax) is { } name
            ? Name(attribute, name)
            : throw ImageRules.Bad($"'{attribute}' is a required property.");

    /// <summary>Checks a name: 1 to 80 characters.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static string Name(string attribute, string name)
    {
        ImageRules.RequireNoNul(attribute, name);
        return name.Length > 0 && name.EnumerateRunes().Count() <= NameLengthMax
            ? name
            : throw ImageRules.Bad($"'{attribute}' must have 1 to {NameLengthMax} characters.");
    }

    /// <summary>Reads a text; null when there is none.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static string? Text(JsonElement element, string attribute, int lengthMax)
    {
        if (!element.TryGetProperty(attribute, out var value))
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.String)
        {
            throw ImageRules.Bad($"'{attribute}' must be a string.");
        }

        var text = value.GetString()!;
        ImageRules.RequireNoNul(attribute, text);
        return text.EnumerateRunes().Count() <= lengthMax
            ? text
            : throw ImageRules.Bad($"'{attribute}' is longer than {lengthMax} characters.");
    }

    /// <summary>Reads true or false; false when there is neither.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static bool Flag(JsonElement element, string attribute)
    {
        if (!element.TryGetProperty(attribute, out var value))
        {
            return false;
        }

        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw ImageRules.Bad($"'{attribute}' must be true or false."),
        };
    }

    /// <summary>Reads an array, each element by <paramref name="read"/>; empty when there is none.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static IReadOnlyList<T> List<T>(JsonElement element, string attribute, Func<JsonElement, T> read)
    {
        if (!element.TryGetProperty(attribute, out var value))
        {
            return [];
        }

        return value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray().Select(read)]
            : throw ImageRules.Bad($"'{attribute}' must be an array.");
    }
}
