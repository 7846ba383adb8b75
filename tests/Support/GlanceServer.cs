namespace Registry.Support;

/// <summary>How a <see cref="GlanceServer"/> runs.</summary>
public sealed record GlanceOptions
{
    /// <summary>Name of its database, new.</summary>
    public string Database { get; init; } = "glance";

    /// <summary>The Keystone that knows its callers; null for an identity that requests bring in headers.</summary>
    public KeystoneServer? Keystone { get; init; }

    /// <summary>Processes that serve requests; 0 for the one that listens.</summary>
    public int Workers { get; init; }

    /// <summary>A third store: a bucket of an S3 server.</summary>
    public (Uri Endpoint, string Bucket)? S3 { get; init; }

    /// <summary>Whether it has a store of images elsewhere in the web, and tells where images are.</summary>
    public bool HasLocations { get; init; }

    /// <summary>Whether it keeps a cache of images, and has the API that looks after it, old and new.</summary>
    public bool HasCache { get; init; }

    /// <summary>Its region in the catalogue, by whose limits it goes; null for none.</summary>
    public string? LimitsRegion { get; init; }

    /// <summary>Whether it leaves ownership to the rules (enforce_secure_rbac), or checks it besides them.</summary>
    public bool LeavesOwnershipToRules { get; init; } = true;

    /// <summary>Ports that it may download from.</summary>
    public string ImportPorts { get; init; } = "80,443";
}

/// <summary>The real Glance of Debian (python3-glance) on PostgreSQL and two directories.</summary>
public sealed class GlanceServer : IAsyncDisposable
{
    // What the package glance-common describes, which is not installed: it asks questions. Glance finds it beside its
    // settings.
    private const string CustomProperties = """
        {
          "kernel_id": {"type": ["null", "string"],
            "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"},
          "ramdisk_id": {"type": ["null", "string"],
            "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"},
          "instance_uuid": {"type": "string"},
          "architecture": {"type": "string"},
          "os_distro": {"type": "string"},
          "os_version": {"type": "string"},
          "description": {"type": "string"},
          "cinder_encryption_key_id": {"type": "string"},
          "cinder_encryption_key_deletion_policy": {"type": "string", "enum": ["on_image_deletion", "do_not_delete"]}
        }
        """;

    private readonly TempDirectory _directory = new();
    private readonly PostgresServer _postgres;
    private readonly GlanceOptions _options;
    private PythonServer? _server;
    private string? _endpoint;

    private GlanceServer(PostgresServer postgres, GlanceOptions options) => (_postgres, _options) = (postgres, options);

    /// <summary>Where it answers.</summary>
    public Uri Url { get; } = new($"http://127.0.0.1:{Ports.Free()}");

    /// <summary>Process id of the first of its processes.</summary>
    public int Id => _server!.Id;

    /// <summary>Directories of its file stores.</summary>
    public IReadOnlyList<string> Stores => [_directory.File("fast"), _directory.File("cheap")];

    /// <summary>What it has written so far.</summary>
    public string Log => _server?.Log ?? "";

    private string Settings => _directory.File("glance.conf");

    /// <summary>Skips the test where Glance cannot run.</summary>
    public static void Require() => PythonServer.Require(
        ("python3-glance", PythonServer.Has("glance/cmd/api.py")),
        ("PostgreSQL", PostgresServer.FindBinaries() is not null));

    /// <summary>Makes its directories, its settings and its database with the schema, and does not start it.</summary>
    public static async Task<GlanceServer> MakeAsync(
        PostgresServer postgres, GlanceOptions options, CancellationToken cancellationToken)
    {
        Require();
        var glance = new GlanceServer(postgres, options);
        if (options.LimitsRegion is { } region)
        {
            await options.Keystone!.AddRegionAsync(region, glance.Url, cancellationToken);
            glance._endpoint = await options.Keystone.EndpointAsync(region, cancellationToken);
        }

        await postgres.CreateDatabaseAsync(options.Database);
        await glance.WriteSettingsAsync(cancellationToken);
        await glance.ManageAsync(cancellationToken, "db", "sync");
        return glance;
    }

    /// <summary>A database of a server, as glance-api.conf names it.</summary>
    public static string Connection(PostgresServer postgres, string database) =>
        $"postgresql+psycopg2://postgres:unused@127.0.0.1:{postgres.Address.Port}/{database}";

    /// <summary>Runs glance-manage.</summary>
    public Task ManageAsync(CancellationToken cancellationToken, params string[] arguments) =>
        ManageAsync(Settings, arguments, cancellationToken);

    /// <summary>Runs glance-manage with settings of another Glance.</summary>
    public static Task ManageAsync(string settings, string[] arguments, CancellationToken cancellationToken) =>
        PythonServer.CallAsync("glance.cmd.manage", ["--config-file", settings, .. arguments], cancellationToken);

    /// <summary>Makes a text its policy, at once: Glance looks for a newer file at every request. Rules that the text does not
    /// have stay as they were.</summary>
    public async Task UsePolicyAsync(string text, CancellationToken cancellationToken)
    {
        var file = _directory.File("policy.yaml");
        var before = File.GetLastWriteTimeUtc(file);
        await File.WriteAllTextAsync(file, text, cancellationToken);
        File.SetLastWriteTimeUtc(file, before.AddSeconds(2));
    }

    /// <summary>Starts it.</summary>
    public async Task StartAsync(CancellationToken cancellationToken) =>
        _server = await PythonServer.StartAsync(
            PythonServer.Interpreter,
            [.. PythonServer.Entry("glance.cmd.api"), "--config-file", Settings],
            new Uri(Url, "/versions"),
            cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _directory.Dispose();
    }

    private async Task WriteSettingsAsync(CancellationToken cancellationToken)
    {
        foreach (var name in new[] { "fast", "cheap", "staging", "tasks", "lock" })
        {
            Directory.CreateDirectory(_directory.File(name));
        }

        // With a cache, the order of the flavour keystone+cachemanagement.
        var identity = _options.Keystone is null ? "context" : "authtoken context";
        var cache = _options.HasCache ? "cache cachemanage " : "";
        await File.WriteAllTextAsync(_directory.File("policy.yaml"), "{}", cancellationToken);
        await File.WriteAllTextAsync(_directory.File("schema-image.json"), CustomProperties, cancellationToken);
        await File.WriteAllTextAsync(_directory.File("paste.ini"), $"""
            [pipeline:glance-api-lab]
            pipeline = versionnegotiation {identity} {cache}rootapp
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
            [filter:authtoken]
            paste.filter_factory = keystonemiddleware.auth_token:filter_factory
            delay_auth_decision = true
            [filter:context]
            paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
            [filter:cache]
            paste.filter_factory = glance.api.middleware.cache:CacheFilter.factory
            [filter:cachemanage]
            paste.filter_factory = glance.api.middleware.cache_manage:CacheManageFilter.factory
            """, cancellationToken);
        await File.WriteAllTextAsync(Settings, $"""
            [DEFAULT]
            bind_host = 127.0.0.1
            bind_port = {Url.Port}
            workers = {_options.Workers}
            worker_self_reference_url = {Url.ToString().TrimEnd('/')}
            enabled_backends = fast:file,cheap:file{(_options.S3 is null ? "" : ",bucket:s3")}{(_options.HasLocations ? ",web:http" : "")}
            enabled_import_methods = [glance-direct,web-download,copy-image]
            show_image_direct_url = {_options.HasLocations}
            show_multiple_locations = {_options.HasLocations}
            enforce_secure_rbac = {_options.LeavesOwnershipToRules}
            use_keystone_limits = {_endpoint is not null}
            use_stderr = true
            {(_options.HasCache ? $"image_cache_dir = {_directory.File("cache")}" : "")}
            [database]
            connection = {Connection(_postgres, _options.Database)}
            [paste_deploy]
            flavor = lab
            config_file = {_directory.File("paste.ini")}
            [glance_store]
            default_backend = fast
            [fast]
            filesystem_store_datadir = {Stores[0]}
            store_description = the fast one
            [cheap]
            filesystem_store_datadir = {Stores[1]}
            store_description = the cheap one
            [os_glance_staging_store]
            filesystem_store_datadir = {_directory.File("staging")}
            [os_glance_tasks_store]
            filesystem_store_datadir = {_directory.File("tasks")}
            [oslo_concurrency]
            lock_path = {_directory.File("lock")}
            [oslo_policy]
            policy_file = {_directory.File("policy.yaml")}
            enforce_new_defaults = {_options.LeavesOwnershipToRules}
            enforce_scope = true
            [import_filtering_opts]
            allowed_ports = [{_options.ImportPorts}]
            allowed_hosts = [127.0.0.1]
            {BucketSettings()}
            {KeystoneSettings()}
            {LimitsSettings()}
            """, cancellationToken);
    }

    private string BucketSettings() => _options.S3 is not { } s3 ? "" : $"""
        [bucket]
        s3_store_host = {s3.Endpoint.ToString().TrimEnd('/')}
        s3_store_access_key = {CephS3.AccessKey}
        s3_store_secret_key = {CephS3.SecretKey}
        s3_store_bucket = {s3.Bucket}
        s3_store_create_bucket_on_put = true
        s3_store_bucket_url_format = path
        s3_store_region_name = {CephS3.Region}
        """;

    private string KeystoneSettings() => _options.Keystone is null ? "" : $"""
        [keystone_authtoken]
        www_authenticate_uri = {_options.Keystone.Url}
        auth_url = {_options.Keystone.Url}
        auth_type = password
        username = {KeystoneServer.ServiceUser}
        password = {KeystoneServer.Password}
        project_name = service
        user_domain_id = default
        project_domain_id = default
        service_token_roles_required = true
        """;

    private string LimitsSettings() => _endpoint is null ? "" : $"""
        [oslo_limit]
        auth_url = {_options.Keystone!.Url}
        auth_type = password
        username = {KeystoneServer.ServiceUser}
        password = {KeystoneServer.Password}
        user_domain_id = default
        system_scope = all
        endpoint_id = {_endpoint}
        """;
}
