using Registry.Api.Auth;

namespace Registry.Api.Usage;

/// <summary>Registry:Quota: Keystone's unified limits.</summary>
public sealed record QuotaSection
{
    /// <summary>Whether projects are limited as Keystone says. Its service user is the one of Registry:Auth:Keystone, and
    /// must have a role on the system: only then does Keystone tell the limits of every project.</summary>
    public bool UseKeystoneLimits { get; init; }

    /// <summary>One of the endpoints of the image service, as oslo.limit's endpoint_id: its service and region are those
    /// of the limits. Empty: <see cref="Service"/> and <see cref="Region"/>.</summary>
    public string EndpointId { get; init; } = "";

    /// <summary>Name of the image service in the catalogue; empty for the one of type <c>image</c>.</summary>
    public string Service { get; init; } = "";

    /// <summary>Region of the limits; empty for the one that the service is in.</summary>
    public string Region { get; init; } = "";

    /// <summary>How long a project's limits count before Keystone is asked again. Zero, as in Glance: a changed limit
    /// counts at once, and each creation and upload asks.</summary>
    public TimeSpan FreshFor { get; init; } = TimeSpan.Zero;

    /// <summary>Checks the values.</summary>
    /// <param name="auth">Who vouches for callers, and where Keystone is.</param>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate(AuthSection auth)
    {
        if (!UseKeystoneLimits)
        {
            return;
        }

        RegistryOptions.Require(
            auth.Kind != "none", "Registry:Quota:UseKeystoneLimits", "true",
            "false while Registry:Auth:Kind is none: Keystone knows no project of it");
        auth.Keystone.Validate();
        RegistryOptions.Require(
            EndpointId.Length == 0 || (Service.Length == 0 && Region.Length == 0), "Registry:Quota:EndpointId", EndpointId,
            "empty where Service or Region is set");
        RegistryOptions.Require(
            FreshFor >= TimeSpan.Zero && FreshFor <= TimeSpan.FromMinutes(5), "Registry:Quota:FreshFor", $"{FreshFor}",
            "0 to 5 min");
    }
}
