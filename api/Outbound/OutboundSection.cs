using System.Net;

namespace Registry.Api.Outbound;

/// <summary>Registry:Outbound: where the server connects to on behalf of users. Like Glance's import_filtering_opts: of an
/// allowed and a denied list, the allowed one decides where it has entries.</summary>
public sealed record OutboundSection
{
    /// <summary>Schemes that may be used, separated by commas.</summary>
    public string AllowedSchemes { get; init; } = "http,https";

    /// <summary>Ports that may be used, separated by commas; empty for all but <see cref="DeniedPorts"/>.</summary>
    public string AllowedPorts { get; init; } = "80,443";

    /// <summary>Ports that may not be used.</summary>
    public string DeniedPorts { get; init; } = "";

    /// <summary>Hosts that may be used, as URLs name them; empty for all but <see cref="DeniedHosts"/>.</summary>
    public string AllowedHosts { get; init; } = "";

    /// <summary>Hosts that may not be used.</summary>
    public string DeniedHosts { get; init; } = "";

    /// <summary>Networks (ADDRESS/BITS) that may be connected to though they are private: the operator's own mirrors.
    /// </summary>
    public string AllowedNetworks { get; init; } = "";

    /// <summary>Most redirects that are followed.</summary>
    public int RedirectsMax { get; init; } = 5;

    /// <summary>How long to wait for a connection, and for the head of an answer.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Slowest download accepted, bytes a second over <see cref="Patience"/>.</summary>
    public int MinimumBytesPerSecond { get; init; } = 8 * 1024;

    /// <summary>How often a download that breaks off is taken up again without getting any further.</summary>
    public int ResumesMax { get; init; } = 4;

    /// <summary>Longest time for a whole download.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromHours(12);

    /// <summary>The allowed networks, read.</summary>
    internal IReadOnlyList<IPNetwork> Networks() => [.. Split(AllowedNetworks).Select(network => IPNetwork.Parse(network))];

    /// <summary>The entries of a list.</summary>
    internal static string[] Split(string list) =>
        list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        const string key = "Registry:Outbound";
        RegistryOptions.Require(
            Split(AllowedSchemes) is { Length: > 0 } schemes && schemes.All(s => s is "http" or "https"),
            $"{key}:AllowedSchemes", AllowedSchemes, "http, https or both");
        RegistryOptions.Require(
            Split($"{AllowedPorts},{DeniedPorts}").All(port => ushort.TryParse(port, out var number) && number > 0),
            $"{key}:AllowedPorts", $"{AllowedPorts},{DeniedPorts}", "numbers from 1 to 65535");
        RegistryOptions.Require(
            Split(AllowedNetworks).All(network => IPNetwork.TryParse(network, out _)),
            $"{key}:AllowedNetworks", AllowedNetworks, "networks such as 10.1.0.0/16");
        RegistryOptions.Require(RedirectsMax is >= 0 and <= 20, $"{key}:RedirectsMax", $"{RedirectsMax}", "0 to 20");
        RegistryOptions.Require(ResumesMax >= 0, $"{key}:ResumesMax", $"{ResumesMax}", "0 or more");
        RegistryOptions.Require(Patience > TimeSpan.Zero, $"{key}:Patience", $"{Patience}", "more than 0");
        RegistryOptions.Require(Deadline > TimeSpan.Zero, $"{key}:Deadline", $"{Deadline}", "more than 0");
        RegistryOptions.Require(
            MinimumBytesPerSecond > 0, $"{key}:MinimumBytesPerSecond", $"{MinimumBytesPerSecond}", "more than 0");
    }
}
