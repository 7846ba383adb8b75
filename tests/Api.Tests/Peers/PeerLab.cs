using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Peers;

/// <summary>One of the two image services that are compared, and what words in rows stand for there.</summary>
/// <param name="Region">Its region in the catalogue.</param>
/// <param name="Url">Its address.</param>
/// <param name="Home">The clients' home directory.</param>
public sealed record Peer(string Region, Uri Url, string Home)
{
    /// <summary>What words in braces stand for.</summary>
    public Dictionary<string, string> Words { get; } = [];

    /// <summary>A text with its words filled in.</summary>
    public string Filled(string text) => Words.Aggregate(
        text, (filled, word) => filled.Replace($"{{{word.Key}}}", word.Value, StringComparison.Ordinal));
}

/// <summary>Debian's Keystone, with Debian's Glance and a registry side by side, on one PostgreSQL server.</summary>
public sealed class PeerLab : IAsyncLifetime
{
    private const int FileBytes = 1 << 20;
    private readonly TempDirectory _directory = new();
    private PostgresServer? _postgres;
    private DirectoryServer? _web;
    private GlanceServer? _glanceServer;
    private RegistryProcess? _registryProcess;
    private OpenStackClients? _clients;
    private Task? _start;

    /// <summary>The identity service of both.</summary>
    public KeystoneServer Keystone { get; private set; } = null!;

    /// <summary>The real Glance.</summary>
    public Peer Glance { get; private set; } = null!;

    /// <summary>The registry.</summary>
    public Peer Registry { get; private set; } = null!;

    private static string Catalogue { get; } = RepositoryTree.File("api", "Metadefs", "Catalogue");

    /// <summary>Starts everything, when the first asks.</summary>
    public Task StartAsync()
    {
        KeystoneServer.Require();
        GlanceServer.Require();
        ExternalTool.Require("qemu-img");
        return _start ??= StartOnceAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>Runs a command of a client as a user, on one of the services.</summary>
    public Task<ToolResult> RunAsync(Peer peer, string user, IReadOnlyList<string> command) => _clients!.RunAsync(
        command[0] == "sdk" ? RepositoryTree.File("tests", "Api.Tests", "Peers", "sdk", command[1]) : command[0],
        command.Skip(command[0] == "sdk" ? 2 : 1).Select(peer.Filled),
        peer.Home,
        user == "nobody" ? Nobody(peer) : Keystone.Variables(user, peer.Region),
        TestContext.Current.CancellationToken);

    /// <inheritdoc/>
    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var part in new IAsyncDisposable?[]
        {
            _clients, _registryProcess, _glanceServer, Keystone, _postgres, _web,
        })
        {
            if (part is not null)
            {
                await part.DisposeAsync();
            }
        }

        _directory.Dispose();
    }

    // Without a token.
    private static Dictionary<string, string> Nobody(Peer peer) => new()
    {
        ["OS_AUTH_TYPE"] = "none",
        ["OS_ENDPOINT"] = peer.Url.ToString().TrimEnd('/'),
    };

    private async Task StartOnceAsync(CancellationToken cancellationToken)
    {
        var files = Directory.CreateDirectory(_directory.File("files")).FullName;
        await MakeFilesAsync(files, cancellationToken);
        _web = new DirectoryServer(files);
        _postgres = await PostgresServer.StartAsync();
        var clients = OpenStackClients.StartAsync(cancellationToken);
        Keystone = await KeystoneServer.StartAsync(_postgres, cancellationToken);
        var (glance, registry) = (StartGlanceAsync(cancellationToken), StartRegistryAsync(cancellationToken));
        _clients = await clients;
        _glanceServer = await glance;
        _registryProcess = await registry;
        Glance = await PeerAsync("stock", _glanceServer.Url, files, cancellationToken);
        Registry = await PeerAsync("ours", _registryProcess.Url, files, cancellationToken);
    }

    private async Task<GlanceServer> StartGlanceAsync(CancellationToken cancellationToken)
    {
        var glance = await GlanceServer.MakeAsync(
            _postgres!,
            new GlanceOptions { Keystone = Keystone, HasLocations = true, ImportPorts = $"{_web!.Address.Port}" },
            cancellationToken);
        await glance.ManageAsync(cancellationToken, "db", "load_metadefs", Catalogue);
        await glance.StartAsync(cancellationToken);
        return glance;
    }

    private async Task<RegistryProcess> StartRegistryAsync(CancellationToken cancellationToken)
    {
        await _postgres!.CreateDatabaseAsync("registry");
        var settings = new Dictionary<string, string>(Keystone.RegistrySettings())
        {
            ["Registry__Database__Kind"] = "postgres",
            ["Registry__Database__ConnectionString"] = _postgres.ConnectionString("registry"),
            ["Registry__Locations__ShowMultiple"] = "true",
            ["Registry__Locations__ShowDirectUrl"] = "true",
            ["Registry__Outbound__AllowedPorts"] = $"{_web!.Address.Port}",
            ["Registry__Outbound__AllowedNetworks"] = "127.0.0.0/8",
            ["Registry__Stores__2__Id"] = "web",
            ["Registry__Stores__2__Kind"] = "http",
            ["Registry__Stores__2__Endpoint"] = _web.Address.ToString(),
        };
        foreach (var (number, store) in new[] { "fast", "cheap" }.Index())
        {
            settings[$"Registry__Stores__{number}__Id"] = store;
            settings[$"Registry__Stores__{number}__Description"] = $"the {store} one";
            settings[$"Registry__Stores__{number}__Path"] =
                Directory.CreateDirectory(_directory.File(store)).FullName;
        }

        await RegistryProcess.RunDbAsync("upgrade", settings, cancellationToken);
        await RegistryProcess.RunDbAsync("load-metadefs", settings, cancellationToken);
        return await RegistryProcess.StartAsync(
            Directory.CreateDirectory(_directory.File("data")).FullName, cancellationToken, settings);
    }

    private async Task<Peer> PeerAsync(string region, Uri url, string files, CancellationToken cancellationToken)
    {
        await Keystone.AddRegionAsync(region, url, cancellationToken);
        var peer = new Peer(region, url, Directory.CreateDirectory(_directory.File(region)).FullName);
        peer.Words["url"] = url.ToString().TrimEnd('/');
        peer.Words["home"] = peer.Home;
        peer.Words["files"] = files;
        peer.Words["web"] = _web!.Address.ToString();
        foreach (var (project, id) in Keystone.ProjectIds)
        {
            peer.Words[project] = id;
        }

        return peer;
    }

    private static async Task MakeFilesAsync(string files, CancellationToken cancellationToken)
    {
        var disk = new byte[FileBytes];
        new Random(3).NextBytes(disk.AsSpan(0, FileBytes / 2));
        await File.WriteAllBytesAsync(Path.Combine(files, "disk.raw"), disk, cancellationToken);
        await File.WriteAllBytesAsync(Path.Combine(files, "nothing"), [], cancellationToken);
        await ExternalTool.Require("qemu-img").OutputAsync(
            cancellationToken,
            "convert", "-f", "raw", "-O", "qcow2", Path.Combine(files, "disk.raw"), Path.Combine(files, "disk.qcow2"));
        await File.WriteAllTextAsync(
            Path.Combine(files, "namespace.json"),
            """
            {
              "namespace": "Imported", "display_name": "From a file", "description": "all at once", "visibility": "private",
              "tags": [{"name": "red"}, {"name": "blue"}],
              "objects": [
                {"name": "thing", "description": "described", "required": ["p"],
                 "properties": {"p": {"title": "Inner", "type": "string", "enum": ["a", "b"]}}}
              ],
              "resource_type_associations": [{"name": "OS::Nova::Flavor", "prefix": "hw:", "properties_target": "image"}],
              "properties": {"size": {"title": "Size", "type": "integer", "minimum": 1, "operators": ["<in>"]}}
            }
            """,
            cancellationToken);
    }
}
