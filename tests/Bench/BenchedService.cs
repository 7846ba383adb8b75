using System.Globalization;
using Npgsql;
using Registry.Support;

namespace Registry.Bench;

/// <summary>An image service that is measured.</summary>
internal sealed class BenchedService : IAsyncDisposable
{
    private readonly string _connection;
    private readonly int _process;
    private readonly IAsyncDisposable _server;
    private readonly IDisposable? _files;

    private BenchedService(Uri url, string connection, int process, IAsyncDisposable server, IDisposable? files)
    {
        (_connection, _process, _server, _files) = (connection, process, server, files);
        Client = new HttpClient(new SocketsHttpHandler { UseProxy = false })
        {
            BaseAddress = url,
            Timeout = TimeSpan.FromMinutes(10),
        };
        Client.DefaultRequestHeaders.Add("Accept", "application/json");
    }

    /// <summary>Asks it.</summary>
    public HttpClient Client { get; }

    /// <summary>Glance with two workers.</summary>
    public static async Task<BenchedService> GlanceAsync(PostgresServer postgres, KeystoneServer keystone)
    {
        var glance = await GlanceServer.MakeAsync(
            postgres, new GlanceOptions { Keystone = keystone, Workers = 2 }, CancellationToken.None);
        await glance.StartAsync(CancellationToken.None);
        return new BenchedService(glance.Url, postgres.ConnectionString("glance"), glance.Id, glance, null);
    }

    /// <summary>The registry, as it is set up for production but for the store.</summary>
    public static async Task<BenchedService> RegistryAsync(PostgresServer postgres, KeystoneServer keystone)
    {
        var settings = new Dictionary<string, string>(keystone.RegistrySettings());
        await KeepInAsync(postgres, settings);
        var files = new TempDirectory();
        var registry = await RegistryProcess.StartAsync(files.Path, CancellationToken.None, settings);
        return new BenchedService(
            registry.Url, postgres.ConnectionString("registry"), registry.Id, registry, files);
    }

    /// <summary>Has a registry keep metadata in a new database of a PostgreSQL server.</summary>
    public static async Task KeepInAsync(PostgresServer postgres, Dictionary<string, string> settings)
    {
        await postgres.CreateDatabaseAsync("registry");
        settings["Registry__Database__Kind"] = "postgres";
        settings["Registry__Database__ConnectionString"] = postgres.ConnectionString("registry");
        await RegistryProcess.RunDbAsync("upgrade", settings, CancellationToken.None);
    }

    /// <summary>Has a registry keep bytes in a new bucket of an S3 server.</summary>
    public static void KeepIn(CephS3 server, Dictionary<string, string> settings)
    {
        settings.Remove("Registry__Stores__0__Path");
        settings["Registry__Stores__0__Id"] = "s3";
        settings["Registry__Stores__0__Kind"] = "s3";
        settings["Registry__Stores__0__Endpoint"] = server.Endpoint.ToString();
        settings["Registry__Stores__0__Bucket"] = server.NewBucket();
        settings["Registry__Stores__0__AccessKey"] = CephS3.AccessKey;
        settings["Registry__Stores__0__SecretKey"] = CephS3.SecretKey;
        settings["Registry__Stores__0__CreateBucket"] = "true";
    }

    /// <summary>Runs statements in its database.</summary>
    public async Task FillAsync(IEnumerable<string> statements)
    {
        await using var database = new NpgsqlConnection(_connection);
        await database.OpenAsync();
        foreach (var statement in statements)
        {
            await using var command = new NpgsqlCommand(statement, database) { CommandTimeout = 0 };
            await command.ExecuteNonQueryAsync();
        }
    }

    /// <summary>Memory of all its processes, what they share counted once.</summary>
    public double ResidentMiB()
    {
        var parents = Directory.GetDirectories("/proc").Select(Path.GetFileName)
            .Where(name => int.TryParse(name, out _))
            .Select(name => (Id: int.Parse(name!, CultureInfo.InvariantCulture), Parent: ParentOf(name!)))
            .ToLookup(process => process.Parent, process => process.Id);
        var all = new List<int> { _process };
        for (var i = 0; i < all.Count; i++)
        {
            all.AddRange(parents[all[i]]);
        }

        return all.Sum(ProportionalKiB) / 1024.0;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        NpgsqlConnection.ClearAllPools();
        await _server.DisposeAsync();
        _files?.Dispose();
    }

    private static int ParentOf(string process)
    {
        try
        {
            return (int)Kernel($"/proc/{process}/status", "PPid:");
        }
        catch (IOException)
        {
            return -1; // it has ended
        }
    }

    private static long ProportionalKiB(int process) => Kernel($"/proc/{process}/smaps_rollup", "Pss:");

    private static long Kernel(string file, string name) => long.Parse(
        File.ReadLines(file).First(line => line.StartsWith(name, StringComparison.Ordinal))
            .Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);
}
