using Microsoft.Extensions.Options;

namespace Registry.Api.Auth;

/// <summary>Establishes who is asking. With <c>Registry:Auth:Kind</c> none it is always the implicit administrator;
/// whatever token or identity header comes along is not looked at.</summary>
public sealed class CallerMiddleware(RequestDelegate next, IOptions<RegistryOptions> options)
{
    private readonly Caller _implicit = new(options.Value.Auth.Project, "admin", IsAdmin: true);

    /// <summary>Runs the middleware.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        _implicit.Attach(context);
        return next(context);
    }
}
