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

    /// <summary>The domain that the caller's user belongs to; null where it is not known.</summary>
    public string? UserDomainId { get; init; }

    /// <summary>The domain that the caller's project belongs to; null without a project, or where it is not known.</summary>
    public string? ProjectDomainId { get; init; }

    /// <summary>Whether the caller's project is the one that Keystone sets apart for administration. True where Keystone sets
    /// none apart.</summary>
    public bool IsAdminProject { get; init; } = true;

    /// <summary>The service that asks for the caller; null when the caller asks itself.</summary>
    public CallingService? Service { get; init; }

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

/// <summary>A service of the cloud that asks for a caller.</summary>
/// <param name="UserId">The service's user.</param>
/// <param name="UserDomainId">The domain of that user.</param>
/// <param name="ProjectId">The service's project.</param>
/// <param name="ProjectDomainId">The domain of that project.</param>
public sealed record CallingService(string? UserId, string? UserDomainId, string? ProjectId, string? ProjectDomainId);
