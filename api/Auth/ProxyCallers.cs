using System.Net;
using Registry.Api.Policy;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>Kind <c>proxy</c>: whoever an authenticating proxy in front says it is, with the headers of
/// keystonemiddleware; believed only from the addresses configured.</summary>
/// <remarks>An identity header that comes twice is refused: a client may have sent the second, and which of the two the
/// proxy vouches for cannot be known.</remarks>
internal sealed class ProxyCallers(IReadOnlyList<IPNetwork> trusted, PolicyEngine policy) : ICallerSource
{
    private const string Confirmed = "Confirmed";

    /// <inheritdoc/>
    public ValueTask<Caller?> FindAsync(HttpContext context)
    {
        var address = context.Connection.RemoteIpAddress;
        address = address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address;
        var headers = context.Request.Headers;
        if (address is null || !trusted.Any(network => network.Contains(address))
            || Text(headers, "X-Identity-Status") != Confirmed)
        {
            return ValueTask.FromResult<Caller?>(null);
        }

        var isService = Text(headers, "X-Service-Identity-Status") == Confirmed;
        return ValueTask.FromResult<Caller?>(policy.WithAdmin(
            new Caller(Project(headers), Text(headers, "X-User-Id"), false)
            {
                DomainId = Text(headers, "X-Domain-Id"),
                SystemScope = Text(headers, "OpenStack-System-Scope"),
                UserDomainId = Text(headers, "X-User-Domain-Id"),
                ProjectDomainId = Text(headers, "X-Project-Domain-Id"),
                IsAdminProject = Text(headers, "X-Is-Admin-Project") is not { } isAdmin
                    || isAdmin.Equals("true", StringComparison.OrdinalIgnoreCase),
                Roles = Roles(headers, "X-Roles"),
                ServiceRoles = isService ? Roles(headers, "X-Service-Roles") : Caller.NoRoles,
                Service = isService
                    ? new CallingService(
                        Text(headers, "X-Service-User-Id"), Text(headers, "X-Service-User-Domain-Id"),
                        Text(headers, "X-Service-Project-Id"), Text(headers, "X-Service-Project-Domain-Id"))
                    : null,
            }));
    }

    // The old name and the new one of the same.
    private static string? Project(IHeaderDictionary headers)
    {
        var (project, tenant) = (Text(headers, "X-Project-Id"), Text(headers, "X-Tenant-Id"));
        return project is null || tenant is null || project == tenant
            ? project ?? tenant
            : throw Refusal("X-Project-Id and X-Tenant-Id differ");
    }

    // Where a proxy joins headers of one name, commas tell that there were several.
    private static string? Text(IHeaderDictionary headers, string name) => One(headers, name) is not { Length: > 0 } text
        ? null
        : text.Contains(',', StringComparison.Ordinal) ? throw Refusal($"{name} has several values") : text;

    private static HashSet<string> Roles(IHeaderDictionary headers, string name) =>
    [
        .. (One(headers, name) ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(role => role.ToLowerInvariant()),
    ];

    private static string? One(IHeaderDictionary headers, string name)
    {
        var values = headers[name];
        return values.Count <= 1 ? (string?)values : throw Refusal($"{name} is given {values.Count} times");
    }

    private static RegistryException Refusal(string problem) => new(
        ErrorCode.BadRequest, $"The identity headers are ambiguous: {problem}.", "ambiguous_identity");
}
