using System.Data.Common;
using System.Globalization;
using Registry.Support;

namespace Registry.Faults;

/// <summary>A blob's file or object.</summary>
/// <param name="Name">Its name below the store.</param>
/// <param name="Length">Bytes.</param>
internal sealed record StoredFile(string Name, long Length)
{
    /// <summary>Image and generation, as the name says them; null where it says none.</summary>
    public string? Blob => Name.Split('/') is [{ Length: 36 } image, var generation, _] ? $"{image}/{generation}" : null;

    /// <summary>Whether it is image data.</summary>
    public bool IsData => Path.GetFileName(Name).StartsWith("data", StringComparison.Ordinal);
}

/// <summary>A configuration of the registry with a database and a store of its own, and a way behind its back.</summary>
internal abstract class Site : IAsyncDisposable
{
    private readonly List<RegistryProcess> _started = [];
    private readonly ScriptedKeystone _keystone = new();

    /// <summary>Where the logs of the next site's registries go when it is done.</summary>
    public static string LogFile { get; set; } = "";

    /// <summary>The store's id in the configuration.</summary>
    public const string Store = "main";

    /// <summary>The token of the clients and of the operator: one project has all images.</summary>
    public const string Operator = "token-of-the-operator";

    /// <summary>The token of somebody in the same project who is no administrator.</summary>
    public const string Member = "token-of-a-member";

    /// <summary>The token of somebody in another project.</summary>
    public const string Stranger = "token-of-a-stranger";

    /// <summary>Prepares a site whose registries ask an identity service.</summary>
    protected Site()
    {
        var late = DateTimeOffset.UtcNow.AddDays(1);
        _keystone.Add(Operator, "operator", "project", late, "admin", "member", "reader");
        _keystone.Add(Member, "member", "project", late, "member", "reader");
        _keystone.Add(Stranger, "stranger", "other-project", late, "member", "reader");
        Settings["Registry__Auth__Kind"] = "keystone";
        Settings["Registry__Auth__Keystone__Url"] = _keystone.Url;
        Settings["Registry__Auth__Keystone__Username"] = "registry";
        Settings["Registry__Auth__Keystone__Password"] = "secret";
    }

    /// <summary>The word for it on the command line.</summary>
    public abstract string Name { get; }

    /// <summary>A directory for what belongs to the check and not to the registry.</summary>
    public string Scratch { get; } = Directory.CreateTempSubdirectory("registry-faults-").FullName;

    /// <summary>Settings of every registry that is started here.</summary>
    public Dictionary<string, string> Settings { get; } = new()
    {
        ["Registry__Uploads__Lease"] = "00:00:02",
        ["Registry__Uploads__ReapInterval"] = "00:00:01",
        ["Registry__Uploads__ReapGrace"] = "00:00:02",
        ["Registry__Jobs__Lease"] = "00:00:03",
        ["Registry__Jobs__Poll"] = "00:00:00.2",
    };

    /// <summary>A program and its arguments that run every registry that is started here.</summary>
    public IReadOnlyList<string> Wrapper { get; set; } = [];

    /// <summary>Text that must appear in no log and no answer.</summary>
    public virtual IReadOnlyList<string> Secrets => [];

    /// <summary>The registries that were started, dead ones too.</summary>
    public IReadOnlyList<RegistryProcess> Started => _started;

    /// <summary>Where a registry keeps what it keeps on disk.</summary>
    public virtual string DataDirectory => Path.Combine(Scratch, "data");

    /// <summary>Starts a registry and waits until it is ready.</summary>
    /// <param name="settings">On top of <see cref="Settings"/>.</param>
    public async Task<RegistryProcess> StartAsync(IReadOnlyDictionary<string, string>? settings = null)
    {
        Directory.CreateDirectory(DataDirectory);
        var all = new Dictionary<string, string>(Settings);
        foreach (var (name, value) in settings ?? new Dictionary<string, string>())
        {
            all[name] = value;
        }

        var registry = await RegistryProcess.StartAsync(DataDirectory, CancellationToken.None, all, Wrapper);
        SignIn(registry.Client);
        _started.Add(registry);
        return registry;
    }

    /// <summary>Makes a client's requests those of the project that has all images.</summary>
    public static HttpClient SignIn(HttpClient client) => SignIn(client, Operator);

    /// <summary>A client of somebody else.</summary>
    public static HttpClient ClientOf(RegistryProcess registry, string token) =>
        SignIn(new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = registry.Url }, token);

    private static HttpClient SignIn(HttpClient client, string token)
    {
        client.DefaultRequestHeaders.Add("X-Auth-Token", token);
        return client;
    }

    /// <summary>Of the database, past every gate.</summary>
    public abstract string ConnectionString { get; }

    /// <summary>Opens the database, behind the registry's back.</summary>
    public abstract Task<DbConnection> OpenDatabaseAsync();

    /// <summary>Lists the store, behind the registry's back.</summary>
    public abstract Task<IReadOnlyList<StoredFile>> ListAsync();

    /// <summary>Turns one bit in the middle of a file of the store.</summary>
    public abstract Task FlipAsync(StoredFile file);

    /// <summary>Puts a file into the store.</summary>
    public abstract Task PutAsync(string name, byte[] content);

    /// <summary>Removes a file of the store.</summary>
    public abstract Task RemoveAsync(StoredFile file);

    /// <summary>Does something while the store fails.</summary>
    public abstract Task BreakStoreAsync(Func<Task> meanwhile);

    /// <summary>Names of things in the store that are neither blob nor listed: unfinished multipart uploads.</summary>
    public virtual Task<IReadOnlyList<string>> UnfinishedAsync() => Task.FromResult<IReadOnlyList<string>>([]);

    /// <summary>Asks the database; every row as texts, null as an empty one.</summary>
    public async Task<List<string[]>> QueryAsync(string sql)
    {
        await using var connection = await OpenDatabaseAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string[]>();
        while (await reader.ReadAsync())
        {
            rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(
                i => Convert.ToString(reader.GetValue(i), CultureInfo.InvariantCulture) ?? "")]);
        }

        return rows;
    }

    /// <summary>Asks the database for one number.</summary>
    public async Task<long> CountAsync(string sql) =>
        long.Parse((await QueryAsync(sql))[0][0], CultureInfo.InvariantCulture);

    /// <summary>Changes the database past the registry.</summary>
    public async Task ExecuteAsync(string sql)
    {
        await using var connection = await OpenDatabaseAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The environment of a process of this site.</summary>
    public Dictionary<string, string?> Environment() =>
        new(Settings.ToDictionary(s => s.Key, s => (string?)s.Value))
        {
            ["Registry__DataDirectory"] = DataDirectory,
            ["Registry__Endpoints__Http"] = "http://127.0.0.1:0",
            ["Registry__Endpoints__Grpc"] = "http://127.0.0.1:0",
            ["Registry__Endpoints__Metrics"] = "http://127.0.0.1:0",
            ["OS_TOKEN"] = Operator,
        };

    /// <summary>Runs registry with a verb, as an operator would.</summary>
    /// <returns>Exit code and everything it wrote.</returns>
    public async Task<(int ExitCode, string Output)> RunAsync(params string[] arguments)
    {
        Directory.CreateDirectory(DataDirectory);
        var result = await ExternalTool.At(RegistryProcess.Executable).RunAsync(
            arguments, CancellationToken.None, Environment(), TimeSpan.FromMinutes(2));
        return (result.ExitCode, result.Output + result.Error);
    }

    /// <inheritdoc/>
    public virtual async ValueTask DisposeAsync()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(LogFile)!);
        await File.WriteAllLinesAsync(LogFile, _started.Select(registry => registry.Log));
        foreach (var registry in _started)
        {
            await registry.DisposeAsync();
        }

        await _keystone.DisposeAsync();
        Directory.Delete(Scratch, recursive: true);
    }
}
