using Registry.Support;
using Xunit;

namespace Registry.Api.Tests.Peers;

/// <summary>Debian's Keystone, and pairs of Debian's Glance and a registry side by side, on one PostgreSQL server.</summary>
public sealed class PeerLab : IAsyncLifetime
{
    private const int FileBytes = 1 << 20;
    private readonly TempDirectory _directory = new();
    private readonly Dictionary<bool, PeerPair> _pairs = [];
    private OpenStackClients? _clients;
    private PeerHttp? _http;
    private Task? _start;

    /// <summary>The identity service of all.</summary>
    public KeystoneServer Keystone { get; private set; } = null!;

    /// <summary>Where their databases are.</summary>
    public PostgresServer Postgres { get; private set; } = null!;

    /// <summary>The web, from which they can fetch <see cref="Files"/>.</summary>
    public DirectoryServer Web { get; private set; } = null!;

    /// <summary>Directory of files that rows name.</summary>
    public string Files => _directory.File("files");

    /// <summary>A new directory.</summary>
    public string NewDirectory(string name) => Directory.CreateDirectory(_directory.File(name)).FullName;

    /// <summary>The services with or without their caches; the first who asks starts them.</summary>
    public async Task<PeerPair> StartAsync(bool hasCaches)
    {
        KeystoneServer.Require();
        GlanceServer.Require();
        ExternalTool.Require("qemu-img");
        var cancellationToken = TestContext.Current.CancellationToken;
        await (_start ??= StartOnceAsync(cancellationToken));
        if (!_pairs.TryGetValue(hasCaches, out var pair))
        {
            _pairs[hasCaches] = pair = await PeerPair.StartAsync(this, hasCaches, cancellationToken);
        }

        return pair;
    }

    /// <summary>Runs a command of a client as a user, on one of the services, or sends it a request.</summary>
    public Task<ToolResult> RunAsync(Peer peer, string user, IReadOnlyList<string> command) => command[0] switch
    {
        "http" => _http!.RunAsync(
            peer, user, [.. command.Skip(1).Select(peer.Filled)], TestContext.Current.CancellationToken),
        "sdk" => RunAsync(
            peer, user, RepositoryTree.File("tests", "Api.Tests", "Peers", "sdk", command[1]), command.Skip(2)),
        var client => RunAsync(peer, user, client, command.Skip(1)),
    };

    /// <inheritdoc/>
    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        IEnumerable<IAsyncDisposable?> parts = [_clients, .. _pairs.Values, Keystone, Postgres, Web];
        foreach (var part in parts)
        {
            if (part is not null)
            {
                await part.DisposeAsync();
            }
        }

        _http?.Dispose();
        _directory.Dispose();
    }

    private Task<ToolResult> RunAsync(Peer peer, string user, string program, IEnumerable<string> arguments) =>
        _clients!.RunAsync(
            program, arguments.Select(peer.Filled), peer.Home,
            user == "nobody" ? Nobody(peer) : Keystone.Variables(user, peer.Region),
            TestContext.Current.CancellationToken);

    // Without a token.
    private static Dictionary<string, string> Nobody(Peer peer) => new()
    {
        ["OS_AUTH_TYPE"] = "none",
        ["OS_ENDPOINT"] = peer.Url.ToString().TrimEnd('/'),
    };

    private async Task StartOnceAsync(CancellationToken cancellationToken)
    {
        await MakeFilesAsync(NewDirectory("files"), cancellationToken);
        Web = new DirectoryServer(Files);
        Postgres = await PostgresServer.StartAsync();
        var clients = OpenStackClients.StartAsync(cancellationToken);
        Keystone = await KeystoneServer.StartAsync(Postgres, cancellationToken);
        _http = new PeerHttp(Keystone);
        _clients = await clients;
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
