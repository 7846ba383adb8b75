using System.Collections.Frozen;
using Microsoft.AspNetCore.Routing.Patterns;
using Registry.Storage.Domain;

namespace Registry.Api.Errors;

/// <summary>Gives requests that no route takes the Image API's answers: 404, 405 with the methods that exist, and 501
/// for a method that nobody knows.</summary>
internal static class RouteErrors
{
    private static readonly FrozenSet<string> Methods =
        FrozenSet.Create("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE");

    // The order in which Glance lists what a resource takes.
    private static readonly string[] AllowOrder = ["GET", "POST", "PUT", "PATCH", "DELETE"];

    /// <summary>Takes no path below /v2 that ends in a slash: the name after it is missing, and the route that the router
    /// would take instead is another resource's.</summary>
    public static Task RefuseEmptyNamesAsync(HttpContext context, RequestDelegate next)
    {
        if (context.Request.Path.Value is { Length: > 3 } path && path[^1] == '/'
            && path.StartsWith("/v2/", StringComparison.OrdinalIgnoreCase))
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }

        return next(context);
    }

    /// <summary>Takes an address only in the letters that its route has: the router does not tell upper and lower case
    /// apart, Glance does. After the router.</summary>
    public static Task RefuseOtherCaseAsync(HttpContext context, RequestDelegate next)
    {
        if (context.GetEndpoint() is not RouteEndpoint { RoutePattern: var pattern }
            || IsInCaseOf(pattern, context.Request.Path.Value ?? ""))
        {
            return next(context);
        }

        context.SetEndpoint(null);
        context.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }

    /// <summary>Refuses an address with U+0000 in it, which PostgreSQL cannot compare with what it keeps. In a path Kestrel
    /// refuses it.</summary>
    /// <exception cref="RegistryException">BadRequest.</exception>
    public static Task RefuseNulAsync(HttpContext context, RequestDelegate next) =>
        context.Request.QueryString.Value?.Contains("%00", StringComparison.Ordinal) == true
        || context.Request.Path.Value?.Contains('\0', StringComparison.Ordinal) == true
            ? throw new RegistryException(ErrorCode.BadRequest, "The address has a NUL character.")
            : next(context);

    /// <summary>Answers methods that a resource does not take, where Glance does not say which ones it takes.</summary>
    public static void NotFound(HttpContext context) => context.Response.StatusCode = StatusCodes.Status404NotFound;

    private static bool IsInCaseOf(RoutePattern pattern, string path)
    {
        var start = 1;
        foreach (var segment in pattern.PathSegments)
        {
            if (start > path.Length)
            {
                return true; // the rest is optional
            }

            var end = path.IndexOf('/', start);
            end = end < 0 ? path.Length : end;
            if (segment.IsSimple && segment.Parts[0] is RoutePatternLiteralPart { Content: var literal }
                && !path.AsSpan(start..end).SequenceEqual(literal))
            {
                return false;
            }

            start = end + 1;
        }

        return true;
    }

    /// <summary>Runs the middleware.</summary>
    public static async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        await next(context);
        var response = context.Response;
        if (response.HasStarted || response.ContentType is not null)
        {
            return;
        }

        switch (response.StatusCode)
        {
            case StatusCodes.Status405MethodNotAllowed:
                response.Headers.Allow = string.Join(
                    ", ", AllowOrder.Where(response.Headers.Allow.ToString().Split(", ").Contains));
                await ErrorBody.WriteAsync(
                    context,
                    response.StatusCode,
                    $"The method {context.Request.Method} is not allowed for this resource.");
                break;
            case StatusCodes.Status404NotFound when !Methods.Contains(context.Request.Method):
                await ErrorBody.WriteAsync(context, StatusCodes.Status501NotImplemented, "The method is not known.");
                break;
            case StatusCodes.Status404NotFound:
                await ErrorBody.WriteAsync(context, response.StatusCode, "The resource could not be found.");
                break;
        }
    }
}
