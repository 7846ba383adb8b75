using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Options;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api.Schemas;

/// <summary>The custom properties that the image schema describes, and which of them every image must have: Glance's
/// schema-image.json (spec/glance-v2.md, 3.1). Properties that it does not describe are any text.</summary>
public sealed class CustomProperties
{
    private readonly IReadOnlyDictionary<string, CustomProperty> _properties;

    /// <summary>Reads the operator's file, if one is configured; it replaces what is described without one.</summary>
    /// <exception cref="ConfigurationException">It cannot be used.</exception>
    public CustomProperties(IOptions<RegistryOptions> options)
    {
        var file = options.Value.ImageSchema.File;
        (_properties, Required) = file.Length == 0
            ? (CustomPropertiesFile.Defaults(), [])
            : CustomPropertiesFile.Read(file);
    }

    /// <summary>Names of those that an image must have when it is registered.</summary>
    public IReadOnlyList<string> Required { get; }

    /// <summary>What is wrong with the JSON of a value; null when nothing is.</summary>
    public string? Problem(string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null when ImageProperty.MayBeNull(name) => null,
        JsonValueKind.String => value.GetString()! is var text && text == ImageProperty.Null && ImageProperty.MayBeNull(name)
            ? "is not a UUID"
            : _properties.GetValueOrDefault(name)?.Problem(text),
        _ => "is not of type string",
    };

    /// <summary>Refuses a value that the schema does not allow.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public void RequireAllowed(string name, string value)
    {
        if (value == ImageProperty.Null && ImageProperty.MayBeNull(name))
        {
            return;
        }

        if (_properties.TryGetValue(name, out var property) && property.Problem(value) is { } problem)
        {
            throw ImageRules.Bad(
                $"Provided object does not match schema 'image': '{ImageRules.Shown(value)}' {problem} for " +
                $"'{ImageRules.Shown(name)}'.");
        }
    }

    /// <summary>Refuses an image that lacks a property that it must have.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public void RequireComplete(IReadOnlyDictionary<string, string> properties)
    {
        if (Required.FirstOrDefault(name => !properties.ContainsKey(name)) is { } missing)
        {
            throw ImageRules.Bad(
                $"Provided object does not match schema 'image': '{missing}' is a required property.");
        }
    }

    /// <summary>Adds the descriptions to a schema's properties.</summary>
    internal void Describe(JsonObject properties)
    {
        foreach (var (name, property) in _properties)
        {
            properties[name] = property.Schema.DeepClone();
        }
    }
}

/// <summary>What a custom property may be.</summary>
/// <param name="Schema">As clients are told it.</param>
/// <param name="Words">The values allowed; null for any.</param>
/// <param name="Pattern">What a value must match; null for anything.</param>
/// <param name="LengthMin">Fewest characters.</param>
/// <param name="LengthMax">Most characters.</param>
internal sealed record CustomProperty(
    JsonObject Schema, IReadOnlyList<string>? Words, Regex? Pattern, int LengthMin, int LengthMax)
{
    /// <summary>What is wrong with a value; null when nothing is.</summary>
    public string? Problem(string value)
    {
        if (Words is not null && !Words.Contains(value))
        {
            return $"is not one of {JsonSerializer.Serialize(Words)}";
        }

        if (Pattern is not null && !Pattern.IsMatch(value))
        {
            return "does not match the pattern";
        }

        var length = value.EnumerateRunes().Count();
        return length < LengthMin ? "is too short" : length > LengthMax ? "is too long" : null;
    }
}
