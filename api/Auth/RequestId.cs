namespace Registry.Api.Auth;

/// <summary>Gives every request an id: the caller's own where it sent one, and says it in the answer.</summary>
public sealed class RequestId(RequestDelegate next)
{
    private const string Header = "X-Openstack-Request-ID";
    private const int LengthMax = 64;

    /// <summary>Runs the middleware.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var sent = context.Request.Headers[Header].ToString();
        if (sent.Length > LengthMax)
        {
            return Errors.ErrorBody.WriteAsync(
                context, StatusCodes.Status431RequestHeaderFieldsTooLarge, "The request id is too long.");
        }

        var id = sent.Length > 0 && sent.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_')
            ? sent.StartsWith("req-", StringComparison.Ordinal) ? sent : "req-" + sent
            : "req-" + Guid.NewGuid().ToString("D");
        context.TraceIdentifier = id;
        context.Response.Headers[Header] = id;
        return next(context);
    }
}
