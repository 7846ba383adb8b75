using System.CommandLine.Parsing;
using System.Globalization;

namespace Registry.Api;

/// <summary>Sizes as qemu-img reads and writes them: binary multiples.</summary>
internal static class Sizes
{
    private const string Suffixes = "bkMGTPE";

    /// <summary>Reads "12G", "1.5T", "4096" into bytes.</summary>
    /// <exception cref="FormatException">It is no size.</exception>
    public static long Parse(string text)
    {
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            && long.TryParse(text[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var hex)
            && hex >= 0)
        {
            return hex;
        }

        var suffix = text.Length > 0 && char.IsAsciiLetter(text[^1])
            ? Suffixes.IndexOf(text[^1], StringComparison.OrdinalIgnoreCase)
            : 0;
        var digits = text.Length > 0 && char.IsAsciiLetter(text[^1]) ? text[..^1] : text;
        if (suffix < 0
            || !decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
        {
            throw new FormatException(
                $"'{text}' is no size; write bytes, or a number with k, M, G, T, P or E (powers of 1024).");
        }

        if (number > long.MaxValue / (1L << (10 * suffix)))
        {
            throw new FormatException($"'{text}' is too large.");
        }

        var bytes = number * (1L << (10 * suffix));
        return (long)Math.Ceiling(bytes);
    }

    /// <summary>Reads an option's size.</summary>
    public static long? ParseOption(ArgumentResult result)
    {
        try
        {
            return Parse(result.Tokens.Single().Value);
        }
        catch (FormatException e)
        {
            result.AddError(e.Message);
            return null;
        }
    }

    /// <summary>Writes bytes for people, e.g. "1.26 GiB".</summary>
    public static string Show(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        var (value, unit) = ((double)bytes, 0);
        while (value >= 1000 && unit < units.Length - 1)
        {
            (value, unit) = (value / 1024, unit + 1);
        }

        return value.ToString(
            unit == 0 ? "0" : value < 10 ? "0.##" : value < 100 ? "0.#" : "0", CultureInfo.InvariantCulture)
            + " " + units[unit];
    }
}
