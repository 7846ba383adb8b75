namespace Registry.Faults;

/// <summary>The state that a start finds.</summary>
internal enum StartState
{
    /// <summary>Nothing: no directory, an empty database.</summary>
    Fresh,

    /// <summary>The schema of the program, with an image.</summary>
    Current,

    /// <summary>The schema without its last migration, with an image.</summary>
    Previous,

    /// <summary>The schema after the first migration, with an image.</summary>
    First,
}

/// <summary>A site that can be put back to any state that a start may find.</summary>
internal sealed class StartSite : IAsyncDisposable
{
    private readonly Dictionary<StartState, string> _copies = [];

    private StartSite(Site site) => Site = site;

    /// <summary>The site.</summary>
    public Site Site { get; }

    /// <summary>The image whose bytes the current state has, and their promise.</summary>
    public (string Id, Promise Promise) Kept { get; private set; }

    private ProductionSite? Production => Site as ProductionSite;

    /// <summary>Makes a site and all its states.</summary>
    public static async Task<StartSite> CreateAsync(Trial trial)
    {
        var starts = new StartSite(trial.IsProduction
            ? await ProductionSite.CreateAsync(trial.Servers, withSchema: false)
            : new EmbeddedSite());
        foreach (var (state, missing) in new[] { (StartState.Previous, 1), (StartState.First, int.MaxValue / 2) })
        {
            await starts.ResetAsync(StartState.Fresh);
            await Schema.CreateOlderAsync(starts.Site, missing);
            await starts.CopyAsync(state);
        }

        await starts.ResetAsync(StartState.Fresh);
        if (trial.IsProduction && await starts.Site.RunAsync("db", "upgrade") is { ExitCode: not 0 } failed)
        {
            throw new FaultException($"registry db upgrade: {failed.Output}");
        }

        var content = trial.Bytes(100_000);
        var registry = await starts.Site.StartAsync();
        starts.Kept = (await registry.Client.AddAsync(content), Promise.Of(content));
        await registry.StopAsync();
        await starts.CopyAsync(StartState.Current);
        return starts;
    }

    /// <summary>Puts the site back to a state. No process of it may run.</summary>
    public async Task ResetAsync(StartState state)
    {
        var copy = _copies.GetValueOrDefault(state);
        if (Production is { } production)
        {
            await production.ResetDatabaseAsync(copy);
            return;
        }

        if (Directory.Exists(Site.DataDirectory))
        {
            Directory.Delete(Site.DataDirectory, recursive: true);
        }

        Directory.CreateDirectory(Site.DataDirectory);
        if (copy is not null)
        {
            CopyFiles(copy, Site.DataDirectory);
        }
    }

    /// <summary>Requires that what the state had is there, on a registry that is ready.</summary>
    /// <exception cref="FaultException">It is not.</exception>
    public async Task RequireKeptAsync(StartState state, HttpClient http)
    {
        if (state == StartState.Current)
        {
            var (sha512, _, length) = await http.DigestAsync(Kept.Id);
            if (new Promise(sha512, length) != Kept.Promise)
            {
                throw new FaultException("the image that was there has other bytes");
            }
        }
        else if (await Site.CountAsync("select count(*) from images") != (state == StartState.Fresh ? 0 : 1))
        {
            throw new FaultException($"an image of the state {state} is lost");
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Production is { } production)
        {
            foreach (var copy in _copies.Values)
            {
                await production.DropCopyAsync(copy);
            }
        }

        await Site.DisposeAsync();
    }

    private async Task CopyAsync(StartState state)
    {
        if (Production is { } production)
        {
            _copies[state] = $"{production.Database}_{state}".ToLowerInvariant();
            await production.CopyDatabaseAsync(_copies[state]);
            return;
        }

        _copies[state] = Path.Combine(Site.Scratch, $"{state}");
        CopyFiles(Site.DataDirectory, _copies[state]);
    }

    private static void CopyFiles(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var directory in Directory.GetDirectories(from, "*", SearchOption.AllDirectories))
        {
            Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, directory)));
        }

        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
        {
            File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
        }
    }
}
