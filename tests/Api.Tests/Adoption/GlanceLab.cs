using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Npgsql;
using Registry.Support;

namespace Registry.Api.Tests.Adoption;

/// <summary>The real Glance of Debian (python3-glance) on PostgreSQL, two directories and, where Ceph is installed, a bucket,
/// with images made through its own API; and a second database with its schema and nothing in it.</summary>
public sealed class GlanceLab : IAsyncLifetime
{
    private const string Package = "/usr/lib/python3/dist-packages/glance/cmd/api.py";
    private const string Python = "/usr/bin/python3";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(5);

    private readonly TempDirectory _directory = new();
    private readonly SemaphoreSlim _starting = new(1, 1);
    private readonly StringBuilder _log = new();
    private PostgresServer? _postgres;
    private Task? _start;
    private Process? _api;
    private Uri? _s3;
    private string _bucket = "";
    private int _databases;

    /// <summary>A client that Glance takes for an administrator of project <c>cloud</c>.</summary>
    public HttpClient Admin { get; private set; } = null!;

    private static string Catalogue { get; } = RepositoryTree.File("api", "Metadefs", "Catalogue");

    private string Settings => _directory.File("glance.conf");

    /// <summary>Directories of the file store.</summary>
    public IReadOnlyList<string> Stores => [_directory.File("fast"), _directory.File("cheap")];

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

    /// <summary>Skips the test where Glance is not installed.</summary>
    public static void Require()
    {
        var missing = File.Exists(Package) ? null : "python3-glance";
        missing ??= PostgresServer.FindBinaries() is null ? "PostgreSQL" : null;
        Assert.False(missing is not null && ExternalTool.IsStrict, $"{missing} is not installed, and CI=true forbids to skip.");
        Assert.SkipWhen(missing is not null, $"{missing} is not installed.");
    }

    /// <summary>Starts Glance, when the first asks. What fails for one fails for all: nobody gets half of it.</summary>
    public async Task StartAsync(SharedS3 s3)
    {
        Require();
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
        await _postgres.CreateDatabaseAsync("glance");
        var port = Ports.Free();
        await WriteSettingsAsync(port);
        await ManageAsync(Settings, "db", "sync");
        await _postgres.CreateDatabaseAsync("glance_schema", "glance");
        await ManageAsync(Settings, "db", "load_metadefs", Catalogue);
        await StartApiAsync(port);
        await GlanceContent.MakeAsync(this);
    }

    /// <summary>The database, as glance-api.conf names it.</summary>
    public string Connection(string database = "glance") =>
        $"postgresql+psycopg2://postgres:unused@127.0.0.1:{_postgres!.Address.Port}/{database}";

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
        await ManageAsync(settings, "db", "sync");
        await ManageAsync(settings, "db", "load_metadefs", Catalogue);
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
        Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {(int)response.StatusCode} {text}\n{Log}");
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
        if (_api is not null)
        {
            _api.Kill(entireProcessTree: true);
            await _api.WaitForExitAsync();
            _api.Dispose();
        }

        if (_postgres is not null)
        {
            NpgsqlConnection.ClearAllPools();
            await _postgres.DisposeAsync();
        }

        _starting.Dispose();
        _directory.Dispose();
    }

    private string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    private async Task WriteSettingsAsync(int port)
    {
        foreach (var name in new[] { "fast", "cheap", "staging", "tasks", "lock" })
        {
            Directory.CreateDirectory(_directory.File(name));
        }

        await File.WriteAllTextAsync(_directory.File("policy.yaml"), "{}", RegistryApp.Stop);
        await File.WriteAllTextAsync(_directory.File("paste.ini"), """
            [pipeline:glance-api-lab]
            pipeline = versionnegotiation context rootapp
            [composite:rootapp]
            paste.composite_factory = glance.api:root_app_factory
            /: apiversions
            /v2: apiv2app
            [app:apiversions]
            paste.app_factory = glance.api.versions:create_resource
            [app:apiv2app]
            paste.app_factory = glance.api.v2.router:API.factory
            [filter:versionnegotiation]
            paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
            [filter:context]
            paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
            """, RegistryApp.Stop);
        await File.WriteAllTextAsync(Settings, $"""
            [DEFAULT]
            bind_host = 127.0.0.1
            bind_port = {port}
            workers = 0
            enabled_backends = fast:file,cheap:file{(HasBucket ? ",bucket:s3" : "")}
            use_stderr = true
            [database]
            connection = {Connection()}
            [paste_deploy]
            flavor = lab
            config_file = {_directory.File("paste.ini")}
            [glance_store]
            default_backend = fast
            [fast]
            filesystem_store_datadir = {Stores[0]}
            [cheap]
            filesystem_store_datadir = {Stores[1]}
            [bucket]
            s3_store_host = {_s3?.ToString().TrimEnd('/')}
            s3_store_access_key = {CephS3.AccessKey}
            s3_store_secret_key = {CephS3.SecretKey}
            s3_store_bucket = {_bucket}
            s3_store_create_bucket_on_put = true
            s3_store_bucket_url_format = path
            s3_store_region_name = {CephS3.Region}
            [os_glance_staging_store]
            filesystem_store_datadir = {_directory.File("staging")}
            [os_glance_tasks_store]
            filesystem_store_datadir = {_directory.File("tasks")}
            [oslo_concurrency]
            lock_path = {_directory.File("lock")}
            [oslo_policy]
            policy_file = {_directory.File("policy.yaml")}
            """, RegistryApp.Stop);
    }

    private static string[] Command(string module, string settings, params string[] arguments) =>
        ["-c", $"from glance.cmd.{module} import main; main()", "--config-file", settings, .. arguments];

    private static async Task ManageAsync(string settings, params string[] arguments)
    {
        var result = await ExternalTool.At(Python).RunAsync(Command("manage", settings, arguments), RegistryApp.Stop);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
    }

    private async Task StartApiAsync(int port)
    {
        _api = Process.Start(new ProcessStartInfo(Python, Command("api", Settings))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        _api.OutputDataReceived += Note;
        _api.ErrorDataReceived += Note;
        _api.BeginOutputReadLine();
        _api.BeginErrorReadLine();
        Admin = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        Admin.DefaultRequestHeaders.Add("Accept", "application/json");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(RegistryApp.Stop);
        limit.CancelAfter(StartLimit);
        while (!_api.HasExited)
        {
            try
            {
                using var answer = await Admin.GetAsync("/versions", limit.Token);
                if (answer.StatusCode == HttpStatusCode.OK)
                {
                    return;
                }
            }
            catch (HttpRequestException refused) when (refused.HttpRequestError == HttpRequestError.ConnectionError)
            {
                // It does not listen yet.
            }

            await Task.Delay(100, limit.Token);
        }

        Assert.Fail("Glance ended: " + Log);
    }

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
        {
            _log.AppendLine(line.Data);
        }
    }
}
