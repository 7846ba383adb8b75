namespace Registry.Api.Policy;

/// <summary>Registry:PropertyProtections.</summary>
public sealed record PropertyProtectionsSection
{
    /// <summary>File that says who may create, read, update and delete which custom properties, as Glance's
    /// property_protection_file; empty leaves that to the image's own rules.</summary>
    public string File { get; init; } = "";

    /// <summary>What the file's entries name: roles, separated by commas, or policies, one rule each.</summary>
    public string RuleFormat { get; init; } = "roles";

    /// <summary>Checks the values.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate() =>
        RegistryOptions.Require(
            RuleFormat is "roles" or "policies", "Registry:PropertyProtections:RuleFormat", RuleFormat,
            "roles or policies");
}
