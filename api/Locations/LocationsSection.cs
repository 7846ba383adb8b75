namespace Registry.Api.Locations;

/// <summary>Registry:Locations: what clients see of where bytes are, and say about it.</summary>
public sealed record LocationsSection
{
    /// <summary>Whether images tell their locations and PATCH may change them: Glance's
    /// <c>show_multiple_locations</c>.</summary>
    public bool ShowMultiple { get; init; }

    /// <summary>Whether images tell the URL of their first location: Glance's <c>show_image_direct_url</c>.</summary>
    public bool ShowDirectUrl { get; init; }

    /// <summary>How long a PATCH that gives an image its bytes waits for them to be verified, before it answers that the
    /// image is importing.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate() => RegistryOptions.Require(
        Patience >= TimeSpan.Zero && Patience <= TimeSpan.FromMinutes(1), "Registry:Locations:Patience", $"{Patience}",
        "0 s to 1 min");
}
