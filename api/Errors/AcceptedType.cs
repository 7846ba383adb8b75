using System.Globalization;
using System.Text.RegularExpressions;

namespace Registry.Api.Errors;

/// <summary>Chooses between media types by an Accept header, as WebOb does for Glance (RFC 9110, 12.5.1).</summary>
internal static partial class AcceptedType
{
    private const int ExactlyNamed = 3;
    private const int TypeNamed = 2;
    private const int AnyNamed = 1;

    /// <summary>The type that a client prefers; the first of equals.</summary>
    /// <param name="header">The header; empty for none.</param>
    /// <param name="offers">Types without parameters.</param>
    /// <returns>Null when the client takes none of them; the first where the header is not one.</returns>
    public static string? Of(string header, params ReadOnlySpan<string> offers)
    {
        List<(string Range, double Weight)> ranges = [];
        foreach (var element in header.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (MediaRange().Match(element) is not { Success: true } match)
            {
                return offers[0];
            }

            // A range with parameters of a media type means other representations than those offered.
            if (match.Groups["parameter"].Captures.Count == 0)
            {
                ranges.Add((match.Groups["range"].Value.ToLowerInvariant(), Weight(match.Groups["weight"])));
            }
        }

        var (best, bestWeight) = ((string?)null, 0.0);
        foreach (var offer in offers)
        {
            var weight = ranges.Where(range => Precision(range.Range, offer) > 0)
                .OrderByDescending(range => Precision(range.Range, offer)).Select(range => range.Weight).FirstOrDefault();
            if (weight > bestWeight)
            {
                (best, bestWeight) = (offer, weight);
            }
        }

        return best;
    }

    private static double Weight(Group weight) =>
        weight.Success ? double.Parse(weight.ValueSpan, CultureInfo.InvariantCulture) : 1;

    private static int Precision(string range, string offer) => range == offer ? ExactlyNamed
        : range.EndsWith("/*", StringComparison.Ordinal) && offer.StartsWith(range[..^1], StringComparison.Ordinal)
            ? TypeNamed
        : range == "*/*" ? AnyNamed
        : 0;

    [GeneratedRegex(
        """
        ^(?<range>[!#$%&'*+.^_`|~\w-]+/[!#$%&'*+.^_`|~\w-]+)
        (\s*;\s*(?!q=)(?<parameter>[!#$%&'*+.^_`|~\w-]+=([!#$%&'*+.^_`|~\w-]+|"[^"]*")))*
        (\s*;\s*q=(?<weight>0(\.\d{0,3})?|1(\.0{0,3})?)(\s*;.*)?)?$
        """,
        RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex MediaRange();
}
