using System.Data.Common;
using System.Net;
using Microsoft.Data.Sqlite;
using Npgsql;
using Registry.Api.Auth;
using Registry.Api.Cache;
using Registry.Api.Cors;
using Registry.Api.Events;
using Registry.Api.Import;
using Registry.Api.Locations;
using Registry.Api.Memory;
using Registry.Api.Nbd;
using Registry.Api.Outbound;
using Registry.Api.Policy;
using Registry.Api.Provisioning;
using Registry.Api.Schemas;
using Registry.Api.Stores;
using Registry.Api.Usage;
using Registry.Storage.Metadata;

namespace Registry.Api;

/// <summary>The whole configuration, section "Registry" (DESIGN.md, "Surface that others' scripts rely on").</summary>
public sealed record RegistryOptions
{
    /// <summary>Directory of the embedded database and the default store; created when missing.</summary>
    public string DataDirectory { get; init; } = "registry-data";

    /// <summary>Where metadata is kept.</summary>
    public DatabaseSection Database { get; init; } = new();

    /// <summary>Where image bytes are kept; empty means one directory store below
    /// <see cref="DataDirectory"/>.</summary>
    public IReadOnlyList<StoreSection> Stores { get; init; } = [];

    /// <summary>Addresses to listen on.</summary>
    public EndpointsSection Endpoints { get; init; } = new();

    /// <summary>Who callers are.</summary>
    public AuthSection Auth { get; init; } = new();

    /// <summary>Who may do what.</summary>
    public PolicySection Policy { get; init; } = new();

    /// <summary>Who may do what to which custom properties.</summary>
    public PropertyProtectionsSection PropertyProtections { get; init; } = new();

    /// <summary>Which custom properties the image schema describes.</summary>
    public ImageSchemaSection ImageSchema { get; init; } = new();

    /// <summary>Caps on what callers may ask for.</summary>
    public LimitsSection Limits { get; init; } = new();

    /// <summary>Memory of buffers.</summary>
    public MemorySection Memory { get; init; } = new();

    /// <summary>Limits that Keystone sets.</summary>
    public QuotaSection Quota { get; init; } = new();

    /// <summary>Timing of uploads and of the reaper.</summary>
    public UploadsSection Uploads { get; init; } = new();

    /// <summary>Which web pages may call the HTTP API.</summary>
    public CorsSection Cors { get; init; } = new();

    /// <summary>Who hears of what happens to images.</summary>
    public EventsSection Events { get; init; } = new();

    /// <summary>Imports.</summary>
    public ImportSection Import { get; init; } = new();

    /// <summary>What clients see of where bytes are, and say about it.</summary>
    public LocationsSection Locations { get; init; } = new();

    /// <summary>Blocks of distant stores kept on a local disk.</summary>
    public CacheSection Cache { get; init; } = new();

    /// <summary>Where the server connects to on behalf of users.</summary>
    public OutboundSection Outbound { get; init; } = new();

    /// <summary>Disks that the server makes.</summary>
    public ProvisioningSection Provisioning { get; init; } = new();

    /// <summary>Work that outlives requests.</summary>
    public JobsSection Jobs { get; init; } = new();

    /// <summary>The server's certificate.</summary>
    public TlsSection Tls { get; init; } = new();

    /// <summary>Disks by NBD.</summary>
    public NbdSection Nbd { get; init; } = new();

    /// <summary>Base of the links in the version document, e.g. https://images.example; empty means the request's
    /// own.</summary>
    public string PublicEndpoint { get; init; } = "";

    /// <summary>Where callers reach gRPC when that is not where it listens, e.g. http://images.example:9293; empty
    /// means the listener's address, with the request's host where it listens on every address.</summary>
    public string PublicGrpcEndpoint { get; init; } = "";

    /// <summary>Where callers reach NBD of this very process when that is not where it listens, e.g.
    /// nbd://images-2.example:10809; empty means the listener's address, as for gRPC.</summary>
    public string PublicNbdEndpoint { get; init; } = "";

    /// <summary>Whether callers belong to different projects; otherwise all callers are one.</summary>
    internal bool HasProjects => Auth.Kind != "none";

    /// <summary>Most uploads of one project at once; null where all callers are one project, or for no limit.</summary>
    internal int? UploadsPerProject =>
        HasProjects && Uploads.ConcurrentMaxPerProject > 0 ? Uploads.ConcurrentMaxPerProject : null;

    /// <summary>Most exports that one project has open over NBD; null where all callers are one project, or for no
    /// limit.</summary>
    internal int? NbdConnectionsPerProject =>
        HasProjects && Nbd.ConnectionsMaxPerProject > 0 ? Nbd.ConnectionsMaxPerProject : null;

    /// <summary>Whether the embedded database is used.</summary>
    public bool IsEmbedded => Database.Kind == "sqlite";

    /// <summary>Checks what can be checked before anything starts.</summary>
    /// <exception cref="ConfigurationException">One clear line on what is wrong.</exception>
    public void Validate()
    {
        Require(Database.Kind is "sqlite" or "postgres", "Registry:Database:Kind", Database.Kind, "sqlite or postgres");
        Require(
            IsEmbedded || Database.ConnectionString.Length > 0,
            "Registry:Database:ConnectionString",
            "",
            "set for postgres");
        Database.Validate();
        Auth.Validate();
        foreach (var store in Stores)
        {
            Require(store is not null, "Registry:Stores", "null", "a list of stores, each with its settings");
            store!.Validate();
        }

        Require(
            Stores.Select(s => s.Id).Distinct().Count() == Stores.Count,
            "Registry:Stores:Id",
            "",
            "different for every store");
        Require(Stores.Count(s => s.Default) <= 1, "Registry:Stores:Default", "", "true for at most one store");
        Require(
            Stores.Count == 0 || Stores.Any(s => s.TakesUploads),
            "Registry:Stores",
            "read-only in all its stores",
            "writable in one at least");
        Require(
            PublicGrpcEndpoint.Length == 0 || Uri.TryCreate(PublicGrpcEndpoint, UriKind.Absolute, out _),
            "Registry:PublicGrpcEndpoint",
            PublicGrpcEndpoint,
            "a URL");
        Require(
            PublicNbdEndpoint.Length == 0
                || (Uri.TryCreate(PublicNbdEndpoint, UriKind.Absolute, out var nbd)
                    && nbd.Scheme == EndpointsSection.NbdScheme && nbd.Host.Length > 0),
            "Registry:PublicNbdEndpoint",
            PublicNbdEndpoint,
            "an nbd:// URL");
        PropertyProtections.Validate();
        Limits.Validate();
        Memory.Validate();
        Quota.Validate(Auth);
        Uploads.Validate();
        Cors.Validate();
        Events.Validate();
        Jobs.Validate();
        Import.Validate(hasCatalogue: Auth.Kind == "keystone");
        Provisioning.Validate();
        Locations.Validate();
        Cache.Validate();
        Outbound.Validate();
        Tls.Validate();
        Nbd.Validate(Tls.HasCertificate);
        foreach (var url in new[] { Endpoints.Http, Endpoints.Grpc, Endpoints.Metrics })
        {
            var isSecure = url.StartsWith("https:", StringComparison.Ordinal);
            RequireEndpoint(url, isSecure ? Uri.UriSchemeHttps : Uri.UriSchemeHttp);
            Require(
                !isSecure || Tls.HasCertificate, "Registry:Endpoints", url,
                "an http:// URL without Registry:Tls:CertificateFile");
        }

        if (Endpoints.Nbd.Length > 0)
        {
            RequireEndpoint(Endpoints.Nbd, EndpointsSection.NbdScheme);
            Require(
                Auth.Kind == "none" || Nbd.RequireTls || new Uri(Endpoints.Nbd).IsLoopback, "Registry:Endpoints:Nbd",
                Endpoints.Nbd, "a loopback address while Registry:Nbd:RequireTls is false: tickets are secrets");
        }
    }

    private void RequireEndpoint(string url, string scheme)
    {
        var isOne = Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Scheme == scheme
            && (uri.Host == "localhost" || IPAddress.TryParse(uri.DnsSafeHost, out _));
        Require(isOne, "Registry:Endpoints", url, $"{(scheme[0] == 'h' ? "an" : "a")} {scheme}://ADDRESS:PORT URL");
        Require(
            Auth.Kind != "none" || Auth.AllowAnonymousRemote || uri!.IsLoopback, "Registry:Endpoints", url,
            "a loopback address while Registry:Auth:Kind is none (or set Registry:Auth:AllowAnonymousRemote=true)");
    }

    internal static void Require(bool condition, string key, string value, string expected)
    {
        if (!condition)
        {
            throw new ConfigurationException($"{key} is '{value}'; it must be {expected}.");
        }
    }
}

/// <summary>Registry:Database.</summary>
public sealed record DatabaseSection
{
    /// <summary>sqlite (embedded) or postgres.</summary>
    public string Kind { get; init; } = "sqlite";

    /// <summary>Connection string; for sqlite empty means registry.db in the data directory.</summary>
    public string ConnectionString { get; init; } = "";

    /// <summary>Room in bytes that the embedded database keeps on its disk, so that images can be deleted when the disk is
    /// full; 0 for none.</summary>
    public long ReserveBytes { get; init; } = 16 << 20;

    /// <summary>Checks the reserve, and that the connection string can be read.</summary>
    /// <exception cref="ConfigurationException">A setting is wrong. The connection string is not repeated, for it may hold
    /// a password.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            ReserveBytes is 0 or >= 1 << 20, "Registry:Database:ReserveBytes", $"{ReserveBytes}", "0, or 1048576 or more");
        try
        {
            _ = Kind == "sqlite"
                ? (DbConnectionStringBuilder)new SqliteConnectionStringBuilder(ConnectionString)
                : new NpgsqlConnectionStringBuilder(ConnectionString);
        }
        catch (ArgumentException unreadable)
        {
            throw new ConfigurationException($"Registry:Database:ConnectionString cannot be read: {unreadable.Message}");
        }
    }
}

/// <summary>Registry:Endpoints.</summary>
public sealed record EndpointsSection
{
    /// <summary>Image API and extensions.</summary>
    public string Http { get; init; } = "http://127.0.0.1:9292";

    /// <summary>gRPC (HTTP/2 without TLS).</summary>
    public string Grpc { get; init; } = "http://127.0.0.1:9293";

    /// <summary>Prometheus metrics.</summary>
    public string Metrics { get; init; } = "http://127.0.0.1:9294";

    /// <summary>Disks by NBD, nbd://ADDRESS:PORT; empty for not at all.</summary>
    public string Nbd { get; init; } = "";

    /// <summary>The scheme of <see cref="Nbd"/>.</summary>
    internal const string NbdScheme = "nbd";

    /// <summary>The scheme of exports within TLS.</summary>
    internal const string NbdWithTlsScheme = "nbds";

    /// <summary>The protocol's own port.</summary>
    internal const int NbdPort = 10809;

    /// <summary>Where NBD is when it is wanted and nobody says where.</summary>
    internal const string NbdDefault = "nbd://127.0.0.1:10809";
}

/// <summary>Registry:Policy.</summary>
public sealed record PolicySection
{
    /// <summary>Rules that replace Glance's defaults, YAML as oslo.policy reads it; empty for none. Read again when it
    /// changes.</summary>
    public string File { get; init; } = "";
}

/// <summary>Registry:Limits. Glance's defaults.</summary>
public sealed record LimitsSection
{
    /// <summary>Largest image in bytes.</summary>
    public long ImageSizeCapBytes { get; init; } = 1L << 40;

    /// <summary>Most bytes that a project keeps in all stores together; 0 = unlimited.</summary>
    public long ProjectBytes { get; init; }

    /// <summary>Most custom properties of an image; negative = unlimited.</summary>
    public int Properties { get; init; } = 128;

    /// <summary>Maximum number of bytes of all custom properties of an image, names and values.</summary>
    public long PropertyBytes { get; init; } = 1 << 20;

    /// <summary>Most tags of an image; negative = unlimited.</summary>
    public int Tags { get; init; } = 128;

    /// <summary>Most members of an image; negative = unlimited.</summary>
    public int Members { get; init; } = 128;

    /// <summary>Most locations of an image; negative = unlimited.</summary>
    public int Locations { get; init; } = 10;

    /// <summary>Images a list answers with when the caller names no limit.</summary>
    public int ListDefault { get; init; } = 25;

    /// <summary>Most images a list answers with.</summary>
    public int ListMax { get; init; } = 1000;

    /// <summary>Largest request body in bytes, image data excepted.</summary>
    public long MetadataBodyBytes { get; init; } = 1 << 20;

    /// <summary>Maximum number of open connections of clients, on all ports together; 0 derives it from the limits of the
    /// process on open files and from its memory.</summary>
    public int Connections { get; init; }

    /// <summary>Most operations in one PATCH.</summary>
    public int PatchOperations { get; init; } = 256;

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(
            ListMax is > 0 and <= ImageListRequest.LimitMax, "Registry:Limits:ListMax", $"{ListMax}", "1 to 1000");
        RegistryOptions.Require(Connections >= 0, "Registry:Limits:Connections", $"{Connections}", "0 or more");
        RegistryOptions.Require(ListDefault >= 0, "Registry:Limits:ListDefault", $"{ListDefault}", "0 or more");
        RegistryOptions.Require(
            ImageSizeCapBytes > 0, "Registry:Limits:ImageSizeCapBytes", $"{ImageSizeCapBytes}", "more than 0");
        RegistryOptions.Require(ProjectBytes >= 0, "Registry:Limits:ProjectBytes", $"{ProjectBytes}", "0 or more");
        RegistryOptions.Require(
            MetadataBodyBytes > 0, "Registry:Limits:MetadataBodyBytes", $"{MetadataBodyBytes}", "more than 0");
        RegistryOptions.Require(PropertyBytes > 0, "Registry:Limits:PropertyBytes", $"{PropertyBytes}", "more than 0");
        RegistryOptions.Require(
            PatchOperations > 0, "Registry:Limits:PatchOperations", $"{PatchOperations}", "more than 0");
    }
}

/// <summary>Registry:Jobs.</summary>
public sealed record JobsSection
{
    /// <summary>Jobs of projects that this process does concurrently; 0 leaves all jobs to other replicas. A project that has
    /// jobs running gets another only while fewer than half of the workers are busy.</summary>
    public int Workers { get; init; } = 8;

    /// <summary>Maximum number of jobs of one project that this process does concurrently, 1 or more.</summary>
    public int WorkersPerProject { get; init; } = 2;

    /// <summary>How long a job stays with a worker that says nothing.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How often to look for jobs that other replicas were asked for.</summary>
    public TimeSpan Poll { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long an ended job can be asked for.</summary>
    public TimeSpan Keep { get; init; } = TimeSpan.FromHours(48);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ConfigurationException">One is wrong.</exception>
    public void Validate()
    {
        RegistryOptions.Require(Workers is >= 0 and <= 64, "Registry:Jobs:Workers", $"{Workers}", "0 to 64");
        RegistryOptions.Require(
            WorkersPerProject > 0, "Registry:Jobs:WorkersPerProject", $"{WorkersPerProject}", "1 or more");
        RegistryOptions.Require(Lease >= TimeSpan.FromSeconds(1), "Registry:Jobs:Lease", $"{Lease}", "1 s or more");
        RegistryOptions.Require(Poll > TimeSpan.Zero, "Registry:Jobs:Poll", $"{Poll}", "more than 0");
        RegistryOptions.Require(Keep > TimeSpan.Zero, "Registry:Jobs:Keep", $"{Keep}", "more than 0");
    }
}

/// <summary>The configuration cannot be used; the message is one line for the operator.</summary>
public sealed class ConfigurationException(string message) : Exception(message);
