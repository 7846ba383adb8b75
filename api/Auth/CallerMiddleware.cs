using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Establishes the caller of a request, and refuses requests without a credible one, wherever that matters: all of
/// the Image API and of gRPC, paths that do not exist too, and the extension API. Open to all are the version documents, the
/// health checks, the page that says where gRPC is, and gRPC's reflection.</summary>
internal sealed class CallerMiddleware(RequestDelegate next, ICallerSource callers)
{
    /// <summary>Runs the middleware.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        if (!IsOpen(context))
        {
            var caller = await callers.FindAsync(context)
                ?? throw new RegistryException(ErrorCode.Unauthenticated, "This server could not verify who you are.");
            caller.Attach(context);
        }

        await next(context);
    }

    private static bool IsOpen(HttpContext context)
    {
        var path = context.Request.Path;
        return Listeners.Of(context) switch
        {
            Listener.Grpc => path.StartsWithSegments("/grpc.health.v1.Health")
                || path.StartsWithSegments("/grpc.reflection.v1.ServerReflection")
                || path.StartsWithSegments("/grpc.reflection.v1alpha.ServerReflection"),
            Listener.Http => !path.StartsWithSegments("/v2")
                && (!path.StartsWithSegments("/registry/v1", out var rest) || rest.Value is "" or "/"),
            _ => true,
        };
    }
}
