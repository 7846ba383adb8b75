namespace Registry.Api.Provisioning;

/// <summary>Registry:Provisioning.</summary>
public sealed record ProvisioningSection
{
    /// <summary>Directories of this server, or mounted on every replica, in which disks can be made.</summary>
    public IReadOnlyList<TargetSection> Targets { get; init; } = [];

    /// <summary>Whether callers who may download an image get addresses under which its bytes can be read in the store
    /// itself, which must be reachable for them.</summary>
    public bool DirectReads { get; init; }

    /// <summary>Seconds that such an address is good for, 60 to 3600.</summary>
    public int DirectReadSeconds { get; init; } = 900;

    /// <summary>What becomes of disks that are themselves disk images which refer to another file: <c>warn</c> (a property of
    /// the image says so) or <c>refuse</c> (they are also not provisioned).</summary>
    public string NestedReferences { get; init; } = "warn";

    /// <summary>A value of <see cref="NestedReferences"/>.</summary>
    internal const string Refuse = "refuse";

    /// <summary>Checks the values.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            NestedReferences is "warn" or Refuse, "Registry:Provisioning:NestedReferences", NestedReferences,
            $"warn or {Refuse}");
        foreach (var target in Targets)
        {
            RegistryOptions.Require(
                target is { Id.Length: > 0, Path.Length: > 0 } && Directory.Exists(target.Path),
                "Registry:Provisioning:Targets", $"{target?.Id}: {target?.Path}", "an Id, and a Path that is a directory");
        }

        RegistryOptions.Require(
            DirectReadSeconds is >= 60 and <= 3600, "Registry:Provisioning:DirectReadSeconds", $"{DirectReadSeconds}",
            "60 to 3600");
        RegistryOptions.Require(
            Targets.Select(t => t.Id).Distinct().Count() == Targets.Count, "Registry:Provisioning:Targets:Id", "",
            "different for every target");
    }
}

/// <summary>One of Registry:Provisioning:Targets.</summary>
public sealed record TargetSection
{
    /// <summary>The name by which callers choose it.</summary>
    public string Id { get; init; } = "";

    /// <summary>The directory.</summary>
    public string Path { get; init; } = "";
}
