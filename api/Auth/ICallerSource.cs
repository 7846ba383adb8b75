namespace Registry.Api.Auth;

/// <summary>Finds out who makes a request: one implementation for each kind of <c>Registry:Auth:Kind</c>.</summary>
internal interface ICallerSource
{
    /// <summary>Finds out who is asking.</summary>
    /// <returns>Null when nobody says so credibly.</returns>
    /// <exception cref="Storage.Domain.RegistryException">IdentityUnavailable: the identity service does not answer.
    /// BadRequest or Forbidden: the request itself is not one to answer.</exception>
    ValueTask<Caller?> FindAsync(HttpContext context);
}

/// <summary>Kind <c>none</c>: always the implicit administrator, unless a web page of another origin asks; tokens and
/// identity headers are ignored.</summary>
internal sealed class ImplicitCaller(string project, BrowserGate gate) : ICallerSource
{
    /// <summary>Who everybody is.</summary>
    public Caller Caller { get; } = new(project, "admin", IsAdmin: true)
    {
        Roles = new HashSet<string> { "admin", "member", "reader" },
    };

    /// <inheritdoc/>
    public ValueTask<Caller?> FindAsync(HttpContext context)
    {
        gate.Require(context.Request);
        return ValueTask.FromResult<Caller?>(Caller);
    }
}

/// <summary>Kind <c>keystone</c>: the bearer of a token that Keystone vouches for.</summary>
internal sealed class KeystoneCallers(TokenCache tokens, Policy.PolicyEngine policy) : ICallerSource
{
    /// <inheritdoc/>
    public async ValueTask<Caller?> FindAsync(HttpContext context)
    {
        var token = context.Request.Headers["X-Auth-Token"].ToString();
        if (token.Length == 0 || await tokens.FindAsync(token, context.RequestAborted) is not { } found)
        {
            return null;
        }

        // A service token says that a service of the cloud asks for the user; one that is no good says nothing.
        var service = context.Request.Headers["X-Service-Token"].ToString();
        var asking = service.Length > 0 ? await tokens.FindAsync(service, context.RequestAborted) : null;
        return policy.WithAdmin(new Caller(found.ProjectId, found.UserId, IsAdmin: false)
        {
            DomainId = found.DomainId,
            SystemScope = found.SystemScope,
            UserDomainId = found.UserDomainId,
            ProjectDomainId = found.ProjectDomainId,
            IsAdminProject = found.IsAdminProject,
            Roles = found.Roles,
            ServiceRoles = asking?.Roles ?? Caller.NoRoles,
            Service = asking is null
                ? null
                : new CallingService(asking.UserId, asking.UserDomainId, asking.ProjectId, asking.ProjectDomainId),
        });
    }
}
