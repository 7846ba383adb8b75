using System.Net.Http.Json;
using System.Text.Json;
using Npgsql;
using Registry.Support;

namespace Registry.Api.Tests.Adoption;

/// <summary>The real Glance of Debian (python3-glance) on PostgreSQL, two directories and, where Ceph is installed, a bucket,
/// with images made through its own API; and a second database with its schema and nothing in it.</summary>
public sealed class GlanceLab : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private readonly SemaphoreSlim _starting = new(1, 1);
    private PostgresServer? _postgres;
    private Task? _start;
    private GlanceServer? _glance;
    private Uri? _s3;
    private string _bucket = "";
    private int _databases;

    /// <summary>A client that Glance takes for an administrator of project <c>cloud</c>.</summary>
    public HttpClient Admin { get; private set; } = null!;

    private static string Catalogue { get; } = RepositoryTree.File("api", "Metadefs", "Catalogue");

    /// <summary>Directories of the file store.</summary>
    public IReadOnlyList<string> Stores => _glance!.Stores;

    /// <summary>Whether there is a bucket among Glance's stores.</summary>
    public bool HasBucket => _s3 is not null;

    /// <summary>The settings of a store of the registry in Glance's bucket.</summary>
    public Dictionary<string, string?> BucketSettings(int number)
    {
        if (_s3 is null)
        {
            return [];
        }

        var settings = SharedS3.Settings(number, "glance", _s3, _bucket);
        settings[$"Registry:Stores:{number}:ReadOnly"] = "true";
        return settings;
    }

    /// <summary>Starts Glance, when the first asks. What fails for one fails for all: nobody gets half of it.</summary>
    public async Task StartAsync(SharedS3 s3)
    {
        GlanceServer.Require();
        await _starting.WaitAsync(RegistryApp.Stop);
        try
        {
            await (_start ??= StartOnceAsync(s3));
        }
        finally
        {
            _starting.Release();
        }
    }

    private async Task StartOnceAsync(SharedS3 s3)
    {
        if (CephS3.IsInstalled)
        {
            var server = await s3.GetAsync();
            (_s3, _bucket) = (server.Endpoint, server.NewBucket());
        }

        _postgres = await PostgresServer.StartAsync();
        var options = new GlanceOptions { S3 = _s3 is null ? null : (_s3, _bucket) };
        _glance = await GlanceServer.MakeAsync(_postgres, options, RegistryApp.Stop);
        await _postgres.CreateDatabaseAsync("glance_schema", "glance");
        await _glance.ManageAsync(RegistryApp.Stop, "db", "load_metadefs", Catalogue);
        await _glance.StartAsync(RegistryApp.Stop);
        Admin = new HttpClient { BaseAddress = _glance.Url };
        Admin.DefaultRequestHeaders.Add("Accept", "application/json");
        await GlanceContent.MakeAsync(this);
    }

    /// <summary>The database, as glance-api.conf names it.</summary>
    public string Connection(string database = "glance") =>
        GlanceServer.Connection(_postgres!, database);

    /// <summary>A new database with Glance's schema and no images.</summary>
    public async Task<string> NewSchemaAsync()
    {
        var name = $"odd_{Interlocked.Increment(ref _databases)}";
        await _postgres!.CreateDatabaseAsync(name, "glance_schema");
        return name;
    }

    /// <summary>Makes Glance's schema and metadata definitions in another database.</summary>
    public async Task MakeSchemaAsync(string connection)
    {
        var settings = _directory.File($"schema-{Guid.NewGuid():N}.conf");
        await File.WriteAllTextAsync(settings, $"[database]\nconnection = {connection}\n", RegistryApp.Stop);
        await GlanceServer.ManageAsync(settings, ["db", "sync"], RegistryApp.Stop);
        await GlanceServer.ManageAsync(settings, ["db", "load_metadefs", Catalogue], RegistryApp.Stop);
    }

    /// <summary>A new database for a registry.</summary>
    public async Task<string> NewRegistryDatabaseAsync()
    {
        var name = $"registry_{Interlocked.Increment(ref _databases)}";
        await _postgres!.CreateDatabaseAsync(name);
        return _postgres.ConnectionString(name);
    }

    /// <summary>Runs SQL.</summary>
    public async Task SqlAsync(string database, string sql)
    {
        await using var source = NpgsqlDataSource.Create(_postgres!.ConnectionString(database) + ";Pooling=false");
        await using var command = source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(RegistryApp.Stop);
    }

    /// <summary>Sends a request to Glance as an administrator, or as a member of a project.</summary>
    public async Task<JsonElement> SendAsync(
        HttpMethod method, string path, object? body = null, string? project = null, string? mediaType = null,
        string? store = null)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Add("X-Identity-Status", "Confirmed");
        request.Headers.Add("X-User-Id", "somebody");
        request.Headers.Add("X-Project-Id", project ?? "cloud");
        request.Headers.Add("X-Roles", project is null ? "admin,member,reader" : "member,reader");
        if (store is not null)
        {
            request.Headers.Add("X-Image-Meta-Store", store);
        }

        request.Content = body switch
        {
            null => null,
            byte[] bytes => new ByteArrayContent(bytes),
            _ => JsonContent.Create(body),
        };
        request.Content?.Headers.ContentType = new(
            mediaType ?? (body is byte[] ? "application/octet-stream" : "application/json"));
        using var response = await Admin.SendAsync(request, RegistryApp.Stop);
        var text = await response.Content.ReadAsStringAsync(RegistryApp.Stop);
        Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {(int)response.StatusCode} {text}\n{_glance!.Log}");
        return text.Length == 0 ? default : JsonSerializer.Deserialize<JsonElement>(text);
    }

    /// <summary>An image's bytes as Glance hands them out.</summary>
    public async Task<byte[]> DownloadAsync(string id)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
        request.Headers.Add("X-Identity-Status", "Confirmed");
        request.Headers.Add("X-User-Id", "somebody");
        request.Headers.Add("X-Project-Id", "cloud");
        request.Headers.Add("X-Roles", "admin,member,reader");
        using var response = await Admin.SendAsync(request, RegistryApp.Stop);
        return await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop);
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        Admin?.Dispose();
        if (_glance is not null)
        {
            await _glance.DisposeAsync();
        }

        if (_postgres is not null)
        {
            NpgsqlConnection.ClearAllPools();
            await _postgres.DisposeAsync();
        }

        _starting.Dispose();
        _directory.Dispose();
    }
}
