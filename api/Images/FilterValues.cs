using System.Globalization;
using System.Text;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Images;

/// <summary>Reads the values of list filters: <c>in:a,b,"c,d"</c>, <c>eq:x</c>, <c>gte:2026-01-01T00:00:00Z</c>
/// (spec/glance-v2.md, 6).</summary>
internal static class FilterValues
{
    /// <summary>Reads a filter on text: any of the values.</summary>
    /// <exception cref="RegistryException">BadRequest: another operator, or unbalanced quotes.</exception>
    public static IReadOnlyList<string> Read(string value)
    {
        var (op, operand) = Split(value);
        return op switch
        {
            null => [value],
            "eq" => [operand],
            "in" => ReadList(operand),
            _ => throw ImageRules.Bad(
                $"Unsupported filter operator '{ImageRules.Shown(op)}'; write eq: before a value that has a colon."),
        };
    }

    /// <summary>Reads a filter on a time.</summary>
    /// <exception cref="RegistryException">BadRequest: unknown operator, or no ISO 8601 time.</exception>
    public static TimeFilter ReadTime(string value)
    {
        var (op, operand) = Split(value);
        TimeComparison? comparison = op switch
        {
            "gt" => TimeComparison.Greater,
            "gte" => TimeComparison.GreaterOrEqual,
            "lt" => TimeComparison.Less,
            "lte" => TimeComparison.LessOrEqual,
            "eq" => TimeComparison.Equal,
            "neq" => TimeComparison.NotEqual,
            _ => null,
        };
        var text = comparison is null ? value : operand;
        return DateTimeOffset.TryParse(
            text,
            CultureInfo.InvariantCulture,
            DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
            out var time)
            ? new TimeFilter(comparison ?? TimeComparison.Equal, time)
            : throw ImageRules.Bad($"'{ImageRules.Shown(text)}' is not an ISO 8601 time.");
    }

    private static (string? Operator, string Operand) Split(string value)
    {
        var colon = value.IndexOf(':');
        return colon < 0 ? (null, value) : (value[..colon], value[(colon + 1)..]);
    }

    private static List<string> ReadList(string text)
    {
        List<string> values = [];
        var (current, isQuoted) = (new StringBuilder(), false);
        foreach (var character in text)
        {
            if (character == '"')
            {
                isQuoted = !isQuoted;
            }
            else if (character == ',' && !isQuoted)
            {
                values.Add(current.ToString());
                current.Clear();
            }
            else
            {
                current.Append(character);
            }
        }

        values.Add(current.ToString());
        return isQuoted
            ? throw ImageRules.Bad($"Invalid filter value '{ImageRules.Shown(text)}': the quote is not closed.")
            : values;
    }
}
