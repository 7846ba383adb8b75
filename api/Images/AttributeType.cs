using System.Text.Json;
using Registry.Storage.Blobs;

namespace Registry.Api.Images;

/// <summary>What the image schema says of an attribute's value.</summary>
/// <param name="Name">The JSON type, for messages.</param>
/// <param name="HasType">Whether a value other than null is of the type.</param>
internal sealed record AttributeType(string Name, Func<JsonElement, bool> HasType)
{
    private const int UrlLengthMax = 255;
    private const int TagLengthMax = 255;

    /// <summary>Whether the value may be null.</summary>
    public bool IsNullable { get; init; }

    /// <summary>The only texts that are allowed; null for any.</summary>
    public IReadOnlyList<string>? Words { get; init; }

    /// <summary>The maximum length of a text in characters.</summary>
    public int LengthMax { get; init; } = int.MaxValue;

    /// <summary>Any text.</summary>
    public static AttributeType Text { get; } = new("string", value => value.ValueKind == JsonValueKind.String);

    /// <summary>A canonical dashed UUID.</summary>
    public static AttributeType Id { get; } =
        new("UUID", value => value.ValueKind == JsonValueKind.String && BlobLayout.IsCanonicalId(value.GetString()!));

    /// <summary>true or false.</summary>
    public static AttributeType Boolean { get; } =
        new("boolean", value => value.ValueKind is JsonValueKind.True or JsonValueKind.False);

    /// <summary>A whole number of 64 bits, also written with a fraction of zeroes or an exponent.</summary>
    public static AttributeType Integer { get; } =
        new("integer", value => value.ValueKind == JsonValueKind.Number && TryReadInteger(value, out _));

    /// <summary>Tags.</summary>
    public static AttributeType Tags { get; } = new("array of strings", value =>
        value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(tag => IsText(tag, TagLengthMax)));

    /// <summary>Locations, each with a URL and metadata.</summary>
    public static AttributeType Locations { get; } = new("array of locations", value =>
        value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(IsLocation));

    /// <summary>What is wrong with a value; null when nothing is.</summary>
    public string? Problem(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Null ? !IsNullable : !HasType(value))
        {
            return $"is not of type {(IsNullable ? $"{Name} or null" : Name)}";
        }

        if (value.ValueKind != JsonValueKind.String)
        {
            return null;
        }

        var text = value.GetString()!;
        return Words is not null && !Words.Contains(text) ? $"is not one of {string.Join(", ", Words)}"
            : text.EnumerateRunes().Count() > LengthMax ? "is too long"
            : null;
    }

    /// <summary>Reads a whole number of 64 bits.</summary>
    public static bool TryReadInteger(JsonElement value, out long number)
    {
        if (value.TryGetInt64(out number))
        {
            return true;
        }

        var isWhole = value.TryGetDecimal(out var exact) && decimal.IsInteger(exact)
            && exact is >= long.MinValue and <= long.MaxValue;
        number = isWhole ? (long)exact : 0;
        return isWhole;
    }

    private static bool IsText(JsonElement value, int lengthMax) =>
        value.ValueKind == JsonValueKind.String && value.GetString()!.EnumerateRunes().Count() <= lengthMax;

    private static bool IsLocation(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object
        && value.TryGetProperty("url", out var url) && IsText(url, UrlLengthMax)
        && value.TryGetProperty("metadata", out var metadata) && metadata.ValueKind == JsonValueKind.Object;
}
