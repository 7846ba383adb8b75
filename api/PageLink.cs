using System.Text;
using Microsoft.Extensions.Primitives;

namespace Registry.Api;

/// <summary>Links between the pages of a list.</summary>
internal static class PageLink
{
    /// <summary>A link to the first page, or to the one after a marker: every parameter is kept, repeated ones
    /// too.</summary>
    /// <param name="path">The list, e.g. /v2/images.</param>
    /// <param name="request">The request for a page of it.</param>
    /// <param name="marker">Id or name of the page's last entry; null for the first page.</param>
    public static string Of(string path, HttpRequest request, string? marker)
    {
        var link = new StringBuilder(path);
        var separator = '?';
        foreach (var (name, values) in request.Query)
        {
            foreach (var value in name == "marker" ? StringValues.Empty : values)
            {
                link.Append(separator).Append(Escaped(name)).Append('=').Append(Escaped(value ?? ""));
                separator = '&';
            }
        }

        return marker is null
            ? link.ToString()
            : link.Append(separator).Append("marker=").Append(Escaped(marker)).ToString();
    }

    // As forms are written: a space is a plus sign.
    private static string Escaped(string text) =>
        Uri.EscapeDataString(text).Replace("%20", "+", StringComparison.Ordinal);
}
