using System.Text.RegularExpressions;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http.Features;
using Registry.Api.Images;
using Registry.Storage.Domain;

namespace Registry.Api;

/// <summary>Reads the address of a request as Glance does: slashes that follow each other are one, and text is UTF-8.
/// </summary>
public static partial class RequestAddress
{
    /// <summary>Joins slashes that follow each other: catalogues have endpoints that end in a slash, to which clients add
    /// a path.</summary>
    /// <exception cref="RegistryException">BadRequest: an escaped part of the path is not UTF-8.</exception>
    public static void Normalize(HttpContext context)
    {
        if (context.Features.Get<IHttpRequestFeature>()?.RawTarget is { } target && target.Contains('%'))
        {
            RequireText(target.Split('?', 2)[0]);
        }

        if (context.Request.Path.Value is { } path && path.Contains("//", StringComparison.Ordinal))
        {
            context.Request.Path = Slashes().Replace(path, "/");
        }
    }

    /// <summary>Endpoint filter for routes that read the query; on others Glance ignores what is not text.</summary>
    /// <exception cref="RegistryException">BadRequest: an escaped part of the query is not UTF-8.</exception>
    public static ValueTask<object?> RequireQuery(EndpointFilterInvocationContext invocation, EndpointFilterDelegate next)
    {
        RequireText(invocation.HttpContext.Request.QueryString.Value ?? "");
        return next(invocation);
    }

    private static void RequireText(string escaped)
    {
        foreach (Match match in EscapedBytes().Matches(escaped))
        {
            if (!Utf8.IsValid(Convert.FromHexString(match.Value.Replace("%", "", StringComparison.Ordinal))))
            {
                throw new RegistryException(
                    ErrorCode.BadRequest, $"The address cannot be decoded: {ImageRules.Shown(match.Value)} is not UTF-8.", "bad_address");
            }
        }
    }

    [GeneratedRegex("(%[0-9A-Fa-f]{2})+")]
    private static partial Regex EscapedBytes();

    [GeneratedRegex("//+")]
    private static partial Regex Slashes();
}
