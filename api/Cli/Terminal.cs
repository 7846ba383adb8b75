using System.Globalization;
using System.Text;

namespace Registry.Api.Cli;

/// <summary>Prints lines that hold what a server or an image file says.</summary>
internal static class Terminal
{
    /// <summary>Prints a line on standard output.</summary>
    /// <param name="line">The line; see <see cref="Printable"/>.</param>
    public static void WriteLine(string line) => Console.WriteLine(Printable(line));

    /// <summary>A text in one line that does nothing to a terminal: control characters, and those that turn the direction of
    /// writing, as in a string of JSON.</summary>
    public static string Printable(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\0', '\x1f') && !text.Any(IsUnsafe))
        {
            return text;
        }

        var plain = new StringBuilder(text.Length + 16);
        foreach (var letter in text)
        {
            _ = letter switch
            {
                '\n' => plain.Append("\\n"),
                '\r' => plain.Append("\\r"),
                '\t' => plain.Append("\\t"),
                _ when IsUnsafe(letter) => plain.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}"),
                _ => plain.Append(letter),
            };
        }

        return plain.ToString();
    }

    private static bool IsUnsafe(char letter) => char.IsControl(letter)
        || letter is '\u2028' or '\u2029' or '\u061c' or (>= '\u200e' and <= '\u200f') or (>= '\u202a' and <= '\u202e')
            or (>= '\u2066' and <= '\u2069');
}
