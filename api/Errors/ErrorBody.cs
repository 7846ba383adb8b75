using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Storage.Domain;

namespace Registry.Api.Errors;

/// <summary>Writes an error in the form the client can read: HTML, JSON or plain text, negotiated as Glance does
/// (spec/glance-v2.md, 1.3).</summary>
public static class ErrorBody
{
    /// <summary>Header that carries the stable reason code.</summary>
    public const string ReasonHeader = "X-Registry-Reason";

    private const string Html = "text/html";
    private const string Json = "application/json";
    private const string RetryAfterSeconds = "2";
    private const string RetryFullAfterSeconds = "60"; // an operator has to make room, or a deletion

    /// <summary>Writes the whole answer. The response must not have started.</summary>
    public static async Task WriteAsync(HttpContext context, int status, string message, string? reason = null)
    {
        var title = Title(status);
        var response = context.Response;
        response.StatusCode = status;
        TakeBackBodyHeaders(response);
        if (status == StatusCodes.Status503ServiceUnavailable)
        {
            response.Headers.RetryAfter = RetryAfterSeconds;
        }
        else if (reason == ErrorCatalog.Entry(ErrorCode.StoreFull).Name)
        {
            response.Headers.RetryAfter = RetryFullAfterSeconds;
        }

        if (status == StatusCodes.Status401Unauthorized)
        {
            response.Headers.WWWAuthenticate =
                Challenge(context.RequestServices.GetRequiredService<IOptions<RegistryOptions>>().Value.Auth);
        }

        if (reason is not null)
        {
            response.Headers[ReasonHeader] = reason;
        }

        var preferred = AcceptedType.Of(context.Request.Headers.Accept.ToString(), Html, Json);
        if (preferred == Html)
        {
            response.ContentType = "text/html; charset=UTF-8";
            await response.WriteAsync(
                $"<html>\n <head>\n  <title>{status} {title}</title>\n </head>\n <body>\n  " +
                $"<h1>{status} {title}</h1>\n  " +
                $"{WebUtility.HtmlEncode(message)}<br /><br />\n\n\n\n </body>\n</html>");
        }
        else if (preferred == Json || IsEmptied(context.Request))
        {
            response.ContentType = "application/json; charset=UTF-8";
            await using var json = new Utf8JsonWriter(response.BodyWriter);
            json.WriteStartObject();
            json.WriteString("message"u8, $"{message}<br /><br />\n\n\n");
            json.WriteString("code"u8, $"{status} {title}");
            json.WriteString("title"u8, title);
            if (reason is not null)
            {
                json.WriteString("reason"u8, reason);
            }

            json.WriteEndObject();
        }
        else
        {
            response.ContentType = "text/plain; charset=UTF-8";
            await response.WriteAsync($"{status} {title}\n\n{message}\n\n   ");
        }
    }

    // Behind a proxy that authenticates, only the proxy knows where a token is to be had.
    private static string? Challenge(AuthSection auth) =>
        auth.Keystone.PublicUrl is { Length: > 0 } url ? $"Keystone uri=\"{url}\""
        : auth.Kind == "proxy" ? null
        : "Keystone";

    // A handler that failed before its first byte had announced another body.
    private static void TakeBackBodyHeaders(HttpResponse response)
    {
        response.ContentLength = null;
        response.Headers.Remove("ETag");
        if (response.StatusCode != StatusCodes.Status416RangeNotSatisfiable)
        {
            response.Headers.Remove("Content-Range"); // there it tells the length
        }

        response.Headers.Remove("Content-MD5");
        response.Headers.Remove(ImageData.ReprDigest.Header);
        response.Headers.Remove("Content-Disposition");
        response.Headers.Remove("Accept-Ranges");
    }

    // The openstack command empties the header when it uploads, and shows a reason only when it comes as JSON.
    private static bool IsEmptied(HttpRequest request) =>
        request.Headers.TryGetValue("Accept", out var accept) && string.IsNullOrEmpty(accept);

    private static string Title(int status) => status switch
    {
        StatusCodes.Status413PayloadTooLarge => "Request Entity Too Large",
        StatusCodes.Status416RangeNotSatisfiable => "Requested Range Not Satisfiable",
        _ => ReasonPhrases.GetReasonPhrase(status),
    };
}
