namespace Registry.Api.Nbd;

/// <summary>Registry:Nbd.</summary>
public sealed record NbdSection
{
    /// <summary>Least of <see cref="OverlaysMaxBytes"/>: 1 MiB.</summary>
    internal const long OverlaysLeast = 1 << 20;

    /// <summary>Maximum number of connections that have an export open; one more is refused it. The last quarter is left for
    /// projects that have none.</summary>
    public int ConnectionsMax { get; init; } = 256;

    /// <summary>Maximum number of connections that have not chosen an export, of one address half of them; one more takes the
    /// place of the oldest.</summary>
    public int HandshakesMax { get; init; } = 128;

    /// <summary>Connections of one project that have an export open; one more is refused it. 0 = no limit but
    /// <see cref="ConnectionsMax"/>, as where nobody is authenticated.</summary>
    public int ConnectionsMaxPerProject { get; init; } = 128;

    /// <summary>How long a client has to choose an export.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a client may keep a message half sent, or a reply unread.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Directory of what is written to overlays; empty means the system's temporary directory.</summary>
    public string OverlayDirectory { get; init; } = "";

    /// <summary>Most bytes that one overlay holds.</summary>
    public long OverlayMaxBytes { get; init; } = 16L << 30;

    /// <summary>Maximum number of bytes that all overlays hold together; one project has at most half of them.</summary>
    public long OverlaysMaxBytes { get; init; } = 128L << 30;

    /// <summary>Whether a client must begin TLS before anything else.</summary>
    public bool RequireTls { get; init; }

    /// <summary>File of certificates (PEM) one of which must have signed the client's; empty: a client shows
    /// none.</summary>
    public string ClientCaFile { get; init; } = "";

    /// <summary>How long a ticket opens its disk; who has opened it stays.</summary>
    public TimeSpan TicketLife { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Checks the ranges, and that the certificates can be used.</summary>
    /// <param name="hasCertificate">Whether clients are offered TLS.</param>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate(bool hasCertificate)
    {
        RegistryOptions.Require(
            ConnectionsMax is > 0 and <= 65536, "Registry:Nbd:ConnectionsMax", $"{ConnectionsMax}", "1 to 65536");
        RegistryOptions.Require(
            ConnectionsMaxPerProject >= 0, "Registry:Nbd:ConnectionsMaxPerProject", $"{ConnectionsMaxPerProject}", "0 or more");
        RegistryOptions.Require(
            HandshakesMax is >= 2 and <= 65536, "Registry:Nbd:HandshakesMax", $"{HandshakesMax}", "2 to 65536");
        RegistryOptions.Require(
            OverlaysMaxBytes >= OverlaysLeast, "Registry:Nbd:OverlaysMaxBytes", $"{OverlaysMaxBytes}",
            $"{OverlaysLeast} or more");
        RequireTime(HandshakeTimeout, "Registry:Nbd:HandshakeTimeout");
        RequireTime(Patience, "Registry:Nbd:Patience");
        RequireTime(TicketLife, "Registry:Nbd:TicketLife");
        RegistryOptions.Require(
            OverlayMaxBytes >= 0, "Registry:Nbd:OverlayMaxBytes", $"{OverlayMaxBytes}", "0 or more");
        RegistryOptions.Require(
            OverlayDirectory.Length == 0 || Directory.Exists(OverlayDirectory), "Registry:Nbd:OverlayDirectory",
            OverlayDirectory, "a directory that is there");
        RegistryOptions.Require(
            hasCertificate || !RequireTls, "Registry:Nbd:RequireTls", "true", "false without Registry:Tls:CertificateFile");
        RegistryOptions.Require(
            RequireTls || ClientCaFile.Length == 0, "Registry:Nbd:ClientCaFile", ClientCaFile,
            "left out unless RequireTls is true: in the clear nobody shows a certificate");
        if (ClientCaFile.Length > 0)
        {
            TlsSection.ReadAll(ClientCaFile);
        }
    }

    private static void RequireTime(TimeSpan time, string key) => RegistryOptions.Require(
        time > TimeSpan.Zero && time <= TimeSpan.FromDays(1), key, $"{time}", "more than 0, at most a day");
}
