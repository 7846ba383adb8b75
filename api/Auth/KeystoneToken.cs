using System.Text.Json;

namespace Registry.Api.Auth;

/// <summary>What Keystone says of a valid token.</summary>
/// <param name="ExpiresAt">When it expires, UTC.</param>
/// <param name="UserId">The user.</param>
/// <param name="ProjectId">The project it is scoped to; null for another scope or none.</param>
/// <param name="DomainId">The domain it is scoped to; null for another scope.</param>
/// <param name="SystemScope">The part of the system it is scoped to, <c>all</c>; null for another scope.</param>
/// <param name="Roles">Names of roles, lower case.</param>
internal sealed record KeystoneToken(
    DateTimeOffset ExpiresAt,
    string UserId,
    string? ProjectId,
    string? DomainId,
    string? SystemScope,
    IReadOnlySet<string> Roles)
{
    /// <summary>The domain that the user belongs to; null where Keystone does not say.</summary>
    public string? UserDomainId { get; init; }

    /// <summary>The domain that the project belongs to; null for another scope.</summary>
    public string? ProjectDomainId { get; init; }

    /// <summary>Whether the project is the one that Keystone sets apart for administration; true where it sets none
    /// apart.</summary>
    public bool IsAdminProject { get; init; } = true;

    /// <summary>Reads the answer of <c>GET /v3/auth/tokens</c>.</summary>
    /// <exception cref="JsonException">It is none.</exception>
    public static KeystoneToken Read(JsonElement body)
    {
        try
        {
            var token = body.GetProperty("token");
            return new KeystoneToken(
                token.GetProperty("expires_at").GetDateTimeOffset(),
                token.GetProperty("user").GetProperty("id").GetString()!,
                Id(token, "project"),
                Id(token, "domain"),
                token.TryGetProperty("system", out var system) && system.TryGetProperty("all", out var all)
                    && all.ValueKind == JsonValueKind.True ? "all" : null,
                token.TryGetProperty("roles", out var roles)
                    ? roles.EnumerateArray().Select(r => r.GetProperty("name").GetString()!.ToLowerInvariant())
                        .ToHashSet(StringComparer.Ordinal)
                    : [])
            {
                UserDomainId = Id(token.GetProperty("user"), "domain"),
                ProjectDomainId = token.TryGetProperty("project", out var project) && project.ValueKind == JsonValueKind.Object
                    ? Id(project, "domain")
                    : null,
                IsAdminProject = !token.TryGetProperty("is_admin_project", out var isAdmin)
                    || isAdmin.ValueKind != JsonValueKind.False,
            };
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new JsonException("What Keystone answered describes no token.", e);
        }
    }

    private static string? Id(JsonElement token, string scope) =>
        token.TryGetProperty(scope, out var value) && value.ValueKind == JsonValueKind.Object
            ? value.GetProperty("id").GetString()
            : null;
}
