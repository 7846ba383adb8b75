using System.Net;

namespace Registry.Api.Auth;

/// <summary>Registry:Auth.</summary>
public sealed record AuthSection
{
    private static readonly string[] Loopback = ["127.0.0.0/8", "::1/128"];

    /// <summary>none: every caller is the administrator of <see cref="Project"/>; keystone: bearers of Keystone's
    /// tokens; proxy: whoever an authenticating proxy in front says.</summary>
    public string Kind { get; init; } = "none";

    /// <summary>Project of the implicit administrator.</summary>
    public string Project { get; init; } = "default";

    /// <summary>Names under which the server answers with kind none, besides localhost, loopback addresses, and the hosts
    /// of the configured and of the public endpoints.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];

    /// <summary>Listen on other than loopback addresses although nobody is authenticated.</summary>
    public bool AllowAnonymousRemote { get; init; }

    /// <summary>The identity service, for kind keystone.</summary>
    public KeystoneSection Keystone { get; init; } = new();

    /// <summary>Addresses and networks (10.1.2.0/24) whose identity headers are believed, for kind proxy; empty for the
    /// loopback addresses. The default is not in the list itself: what is configured would be added to it.</summary>
    public IReadOnlyList<string> TrustedProxies { get; init; } = [];

    /// <summary>Checks what can be checked before anything starts.</summary>
    /// <exception cref="ConfigurationException">One clear line on what is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            Kind is "none" or "keystone" or "proxy", "Registry:Auth:Kind", Kind, "none, keystone or proxy");
        foreach (var network in TrustedProxies)
        {
            RegistryOptions.Require(
                TryParse(network, out _), "Registry:Auth:TrustedProxies", network, "an address or a network like 10.1.2.0/24");
        }

        foreach (var host in AllowedHosts)
        {
            RegistryOptions.Require(
                Uri.CheckHostName(host) != UriHostNameType.Unknown, "Registry:Auth:AllowedHosts", host,
                "names or addresses without a port");
        }

        if (Kind == "keystone")
        {
            Keystone.Validate();
        }
    }

    /// <summary>The networks of <see cref="TrustedProxies"/>.</summary>
    internal IReadOnlyList<IPNetwork> TrustedNetworks() =>
        [.. (TrustedProxies.Count > 0 ? TrustedProxies : Loopback).Select(text => TryParse(text, out var network) ? network : default)];

    private static bool TryParse(string text, out IPNetwork network)
    {
        if (IPAddress.TryParse(text, out var address))
        {
            network = new IPNetwork(address, address.GetAddressBytes().Length * 8);
            return true;
        }

        return IPNetwork.TryParse(text, out network);
    }
}

/// <summary>Registry:Auth:Keystone: where the identity service is, and who this service is there.</summary>
public sealed record KeystoneSection
{
    /// <summary>Its public or internal URL, with or without /v3.</summary>
    public string Url { get; init; } = "";

    /// <summary>The URL in the refusal of callers without a valid token; empty for none. <see cref="Url"/> is never
    /// disclosed.</summary>
    public string PublicUrl { get; init; } = "";

    /// <summary>The service user.</summary>
    public string Username { get; init; } = "";

    /// <summary>The service user's password.</summary>
    public string Password { get; init; } = "";

    /// <summary>A file that holds the password alone, instead of <see cref="Password"/>.</summary>
    public string PasswordFile { get; init; } = "";

    /// <summary>The service user's project.</summary>
    public string Project { get; init; } = "service";

    /// <summary>Name of the service user's domain.</summary>
    public string UserDomain { get; init; } = "Default";

    /// <summary>Name of the project's domain.</summary>
    public string ProjectDomain { get; init; } = "Default";

    /// <summary>Checks what can be checked before anything starts.</summary>
    /// <exception cref="ConfigurationException">One clear line on what is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            Uri.TryCreate(Url, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https",
            "Registry:Auth:Keystone:Url", Url, "an http or https URL");
        RegistryOptions.Require(
            PublicUrl.Length == 0 || (Uri.TryCreate(PublicUrl, UriKind.Absolute, out var shown)
                && shown.Scheme is "http" or "https" && shown.UserInfo.Length == 0
                && !PublicUrl.Contains('"', StringComparison.Ordinal)),
            "Registry:Auth:Keystone:PublicUrl", PublicUrl, "an http or https URL without a user");
        RegistryOptions.Require(Username.Length > 0, "Registry:Auth:Keystone:Username", "", "set");
        RegistryOptions.Require(
            (Password.Length > 0) != (PasswordFile.Length > 0), "Registry:Auth:Keystone:Password", "…",
            "set, or else PasswordFile");
        RegistryOptions.Require(
            PasswordFile.Length == 0 || File.Exists(PasswordFile), "Registry:Auth:Keystone:PasswordFile", PasswordFile,
            "a file that is there");
    }

    /// <summary>The password, wherever it is.</summary>
    internal string ReadPassword() =>
        PasswordFile.Length > 0 ? File.ReadAllText(PasswordFile).TrimEnd('\r', '\n') : Password;
}
