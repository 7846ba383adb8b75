using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Who is asking, as every rule sees it.</summary>
/// <param name="ProjectId">The caller's project; owner of what it creates.</param>
/// <param name="UserId">The caller's user.</param>
/// <param name="IsAdmin">Whether the caller is an administrator.</param>
public sealed record Caller(string? ProjectId, string? UserId, bool IsAdmin)
{
    /// <summary>No roles at all.</summary>
    public static readonly IReadOnlySet<string> NoRoles = new HashSet<string>();

    private static readonly object ItemKey = new();

    /// <summary>The domain that the caller's token is scoped to; null for another scope.</summary>
    public string? DomainId { get; init; }

    /// <summary>The part of the system that the caller's token is scoped to; null for another scope.</summary>
    public string? SystemScope { get; init; }

    /// <summary>The caller's roles, lower case.</summary>
    public IReadOnlySet<string> Roles { get; init; } = NoRoles;

    /// <summary>Roles of the service that asks for the caller, lower case; none when the caller asks itself.</summary>
    public IReadOnlySet<string> ServiceRoles { get; init; } = NoRoles;

    /// <summary>The caller as the visibility rules see it.</summary>
    public Viewer Viewer => new(ProjectId, IsAdmin);

    /// <summary>The caller of a request, as established by <see cref="CallerMiddleware"/>.</summary>
    /// <exception cref="RegistryException">Unauthenticated: nobody said credibly who it is.</exception>
    public static Caller Of(HttpContext context) =>
        context.Items[ItemKey] as Caller
        ?? throw new RegistryException(ErrorCode.Unauthenticated, "This server could not verify who you are.");

    /// <summary>Establishes the caller of a request.</summary>
    internal void Attach(HttpContext context) => context.Items[ItemKey] = this;
}
