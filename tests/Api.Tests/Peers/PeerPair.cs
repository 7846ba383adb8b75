using Registry.Support;

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

/// <summary>A Glance and a registry that are set up alike.</summary>
public sealed class PeerPair : IAsyncDisposable
{
    // Long enough for a row, or a few calls of a script, to find in the queue what the row before put there.
    private const string QueueDelay = "00:00:08";

    private readonly PeerLab _lab;
    private readonly bool _hasCaches;
    private GlanceServer? _glance;
    private RegistryProcess? _registry;

    private PeerPair(PeerLab lab, bool hasCaches) => (_lab, _hasCaches) = (lab, hasCaches);

    /// <summary>The real Glance.</summary>
    public Peer Glance { get; private set; } = null!;

    /// <summary>The registry.</summary>
    public Peer Registry { get; private set; } = null!;

    private static string Catalogue { get; } = RepositoryTree.File("api", "Metadefs", "Catalogue");

    /// <summary>Starts both.</summary>
    /// <param name="lab">What they share with other pairs.</param>
    /// <param name="hasCaches">Whether each keeps a cache of images, and has the API that looks after it.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    public static async Task<PeerPair> StartAsync(PeerLab lab, bool hasCaches, CancellationToken cancellationToken)
    {
        var pair = new PeerPair(lab, hasCaches);
        try
        {
            var (glance, registry) = (pair.StartGlanceAsync(cancellationToken), pair.StartRegistryAsync(cancellationToken));
            await Task.WhenAll(glance, registry);
            pair.Glance = await pair.PeerAsync("stock", pair._glance!.Url, cancellationToken);
            pair.Registry = await pair.PeerAsync("ours", pair._registry!.Url, cancellationToken);
            return pair;
        }
        catch
        {
            await pair.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var part in new IAsyncDisposable?[] { _registry, _glance })
        {
            if (part is not null)
            {
                await part.DisposeAsync();
            }
        }
    }

    // Regions, databases and directories of one pair are not another's.
    private string Named(string name) => _hasCaches ? $"{name}_cached" : name;

    private async Task StartGlanceAsync(CancellationToken cancellationToken)
    {
        _glance = await GlanceServer.MakeAsync(
            _lab.Postgres,
            new GlanceOptions
            {
                Database = Named("glance"),
                Keystone = _lab.Keystone,
                HasLocations = true,
                HasCache = _hasCaches,
                ImportPorts = $"{_lab.Web.Address.Port}",
            },
            cancellationToken);
        await _glance.ManageAsync(cancellationToken, "db", "load_metadefs", Catalogue);
        await _glance.StartAsync(cancellationToken);
    }

    private async Task StartRegistryAsync(CancellationToken cancellationToken)
    {
        var database = Named("registry");
        await _lab.Postgres.CreateDatabaseAsync(database);
        var settings = new Dictionary<string, string>(_lab.Keystone.RegistrySettings())
        {
            ["Registry__Database__Kind"] = "postgres",
            ["Registry__Database__ConnectionString"] = _lab.Postgres.ConnectionString(database),
            ["Registry__Locations__ShowMultiple"] = "true",
            ["Registry__Locations__ShowDirectUrl"] = "true",
            ["Registry__Outbound__AllowedPorts"] = $"{_lab.Web.Address.Port}",
            ["Registry__Outbound__AllowedNetworks"] = "127.0.0.0/8",
            ["Registry__Stores__2__Id"] = "web",
            ["Registry__Stores__2__Kind"] = "http",
            ["Registry__Stores__2__Endpoint"] = _lab.Web.Address.ToString(),
        };
        foreach (var (number, store) in new[] { "fast", "cheap" }.Index())
        {
            settings[$"Registry__Stores__{number}__Id"] = store;
            settings[$"Registry__Stores__{number}__Description"] = $"the {store} one";
            settings[$"Registry__Stores__{number}__Path"] = _lab.NewDirectory(Path.Combine(Named("stores"), store));
            if (_hasCaches)
            {
                // Glance caches whatever its store is; a registry with a store in the web, only what is far.
                settings[$"Registry__Stores__{number}__Cached"] = "true";
            }
        }

        if (_hasCaches)
        {
            settings["Registry__Cache__Directory"] = _lab.NewDirectory("cache");
            settings["Registry__Cache__QueueDelay"] = QueueDelay;
        }

        await RegistryProcess.RunDbAsync("upgrade", settings, cancellationToken);
        await RegistryProcess.RunDbAsync("load-metadefs", settings, cancellationToken);
        _registry = await RegistryProcess.StartAsync(_lab.NewDirectory(Named("data")), cancellationToken, settings);
    }

    private async Task<Peer> PeerAsync(string service, Uri url, CancellationToken cancellationToken)
    {
        var region = Named(service);
        await _lab.Keystone.AddRegionAsync(region, url, cancellationToken);
        var peer = new Peer(region, url, _lab.NewDirectory(region));
        peer.Words["url"] = url.ToString().TrimEnd('/');
        peer.Words["home"] = peer.Home;
        peer.Words["files"] = _lab.Files;
        peer.Words["web"] = _lab.Web.Address.ToString();
        foreach (var (project, id) in _lab.Keystone.ProjectIds)
        {
            peer.Words[project] = id;
        }

        return peer;
    }
}
