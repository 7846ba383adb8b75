using System.Globalization;
using System.Numerics;
using System.Text.Json;
using Registry.Api.Images;

namespace Registry.Api.Metadefs;

/// <summary>Writes the numbers in definitions of properties as Glance keeps them: bounds are whole, defaults are
/// text.</summary>
internal static class PropertyNumbers
{
    private const string FirstExponentOfDotNet = "E+15";
    private const int DigitsOfThat = 16;

    /// <summary>Whether a value is a number that can be kept as a whole one.</summary>
    public static bool IsFinite(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && double.IsFinite(value.GetDouble());

    /// <summary>Whether a value is a whole number of 0 or more.</summary>
    public static bool IsCount(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && AttributeType.TryReadInteger(value, out var count) && count >= 0;

    /// <summary>Writes a number without its fraction.</summary>
    public static void WriteWhole(Utf8JsonWriter json, JsonElement number) => json.WriteRawValue(
        IsWritten(number) ? number.GetRawText() : new BigInteger(number.GetDouble()).ToString(CultureInfo.InvariantCulture));

    /// <summary>Writes a default: the text that Python makes of a single value; null for a list or an object.</summary>
    public static void WriteDefault(Utf8JsonWriter json, JsonElement value) => json.WriteStringValue(value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.True => "True",
        JsonValueKind.False => "False",
        JsonValueKind.Number => IsWritten(value) ? value.GetRawText() : Text(value.GetDouble()),
        _ => null,
    });

    // Written as an integer.
    private static bool IsWritten(JsonElement number) => number.GetRawText().AsSpan().IndexOfAny(".eE") < 0;

    // Python writes an exponent from 16 digits on, and a fraction otherwise.
    private static string Text(double number)
    {
        var text = number.ToString("R", CultureInfo.InvariantCulture);
        if (text.EndsWith(FirstExponentOfDotNet, StringComparison.Ordinal))
        {
            var digits = text[..^FirstExponentOfDotNet.Length].Replace(".", "", StringComparison.Ordinal);
            return digits.PadRight(DigitsOfThat + (number < 0 ? 1 : 0), '0') + ".0";
        }

        return text.Contains('E', StringComparison.Ordinal) ? text.ToLowerInvariant()
            : text.Contains('.', StringComparison.Ordinal) ? text
            : text + ".0";
    }
}
