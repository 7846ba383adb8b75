using System.Net;
using Registry.Api.Policy;

namespace Registry.Api.Auth;

/// <summary>Kind <c>proxy</c>: whoever an authenticating proxy in front says it is, with the headers of
/// keystonemiddleware; believed only from the addresses configured.</summary>
internal sealed class ProxyCallers(IReadOnlyList<IPNetwork> trusted, PolicyEngine policy) : ICallerSource
{
    /// <inheritdoc/>
    public ValueTask<Caller?> FindAsync(HttpContext context)
    {
        var address = context.Connection.RemoteIpAddress;
        address = address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address;
        var headers = context.Request.Headers;
        if (address is null || !trusted.Any(network => network.Contains(address))
            || headers["X-Identity-Status"] != "Confirmed")
        {
            return ValueTask.FromResult<Caller?>(null);
        }

        var isService = headers["X-Service-Identity-Status"] == "Confirmed";
        return ValueTask.FromResult<Caller?>(policy.WithAdmin(
            new Caller(Text(headers["X-Project-Id"]) ?? Text(headers["X-Tenant-Id"]), Text(headers["X-User-Id"]), false)
            {
                DomainId = Text(headers["X-Domain-Id"]),
                SystemScope = Text(headers["OpenStack-System-Scope"]),
                Roles = Roles(headers["X-Roles"]),
                ServiceRoles = isService ? Roles(headers["X-Service-Roles"]) : Caller.NoRoles,
            }));
    }

    private static string? Text(string? value) => string.IsNullOrEmpty(value) ? null : value;

    private static HashSet<string> Roles(string? value) =>
    [
        .. (value ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(role => role.ToLowerInvariant()),
    ];
}
