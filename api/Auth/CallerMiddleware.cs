using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Establishes who is asking, and refuses whoever does not say so, wherever that matters: all of the Image API,
/// paths that do not exist too, the extension API and gRPC. Open to all are the version documents, the health checks and
/// the page that says where gRPC is.</summary>
internal sealed class CallerMiddleware(RequestDelegate next, ICallerSource callers)
{
    /// <summary>Runs the middleware.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        if (!IsOpen(context))
        {
            if (await callers.FindAsync(context) is { } caller)
            {
                caller.Attach(context);
            }
            else if (Listeners.Of(context) != Listener.Grpc)
            {
                throw new RegistryException(ErrorCode.Unauthenticated, "This server could not verify who you are.");
            }
        }

        await next(context);
    }

    // A gRPC call without a caller goes on: its interceptor answers in gRPC's own way.
    private static bool IsOpen(HttpContext context)
    {
        var path = context.Request.Path;
        return Listeners.Of(context) switch
        {
            Listener.Grpc => path.StartsWithSegments("/grpc.health.v1.Health"),
            Listener.Http => !path.StartsWithSegments("/v2")
                && (!path.StartsWithSegments("/registry/v1", out var rest) || rest.Value is "" or "/"),
            _ => true,
        };
    }
}
