using System.Globalization;
using System.Net.Http.Json;
using Registry.Support;

namespace Registry.Api.Tests.Conformance;

/// <summary>A registry with everything that OpenStack's suites may ask for, and Debian's Keystone.</summary>
public sealed class ConformanceLab : IAsyncLifetime
{
    private const string Region = "conformance";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(10);
    private readonly TempDirectory _directory = new();
    private PostgresServer? _postgres;
    private KeystoneServer? _keystone;
    private DirectoryServer? _web;
    private RegistryProcess? _registry;
    private Task? _start;

    /// <summary>Runs tests of a Python package of Debian's, and requires that they pass.</summary>
    /// <param name="discovery">Where the tests are found, below Debian's packages.</param>
    /// <param name="tests">Which of them: a regular expression.</param>
    /// <param name="except">Which not: a regular expression.</param>
    /// <returns>What it said of each test.</returns>
    public async Task<string> PassAsync(string discovery, string tests, string except)
    {
        await StartAsync();
        var stop = TestContext.Current.CancellationToken;
        var home = Directory.CreateDirectory(_directory.File(Path.GetRandomFileName())).FullName;
        await File.WriteAllTextAsync(Path.Combine(home, "clouds.yaml"), Clouds(), stop);
        await File.WriteAllTextAsync(Path.Combine(home, "tempest.conf"), TempestSettings(home), stop);
        await File.WriteAllTextAsync(Path.Combine(home, "CONTRIBUTING.rst"), "An image, for the SDK's tests.", stop);
        await File.WriteAllTextAsync(
            Path.Combine(home, ".stestr.conf"),
            $"""
            [DEFAULT]
            test_path={PythonServer.Packages}/{discovery}
            top_dir={PythonServer.Packages}
            group_regex=([^\.]*\.)*
            """,
            stop);
        var result = await ExternalTool.Require("bash").RunAsync(
            ["-c", "cd \"$0\" && exec stestr run --concurrency 2 --exclude-regex \"$1\" \"$2\"", home, except, tests],
            stop,
            new Dictionary<string, string?>
            {
                ["HOME"] = home,
                ["TEMPEST_CONFIG_DIR"] = home,
                ["OS_CLIENT_CONFIG_FILE"] = Path.Combine(home, "clouds.yaml"),
                ["OS_GLANCECLIENT_EXEC_DIR"] = "/usr/bin",
                ["PYTHONDONTWRITEBYTECODE"] = "1",
            },
            Limit);
        Assert.True(result.ExitCode == 0, result.Output + result.Error);
        return result.Output;
    }

    /// <inheritdoc/>
    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var part in new IAsyncDisposable?[] { _registry, _keystone, _postgres, _web })
        {
            if (part is not null)
            {
                await part.DisposeAsync();
            }
        }

        _directory.Dispose();
    }

    private Task StartAsync()
    {
        KeystoneServer.Require();
        return _start ??= StartOnceAsync(TestContext.Current.CancellationToken);
    }

    private async Task StartOnceAsync(CancellationToken cancellationToken)
    {
        var files = Directory.CreateDirectory(_directory.File("files")).FullName;
        await File.WriteAllBytesAsync(Path.Combine(files, "image"), new byte[1 << 20], cancellationToken);
        _web = new DirectoryServer(files);
        _postgres = await PostgresServer.StartAsync();
        _keystone = await KeystoneServer.StartAsync(_postgres, cancellationToken);
        await _postgres.CreateDatabaseAsync("registry");
        var settings = new Dictionary<string, string>(_keystone.RegistrySettings())
        {
            ["Registry__Database__Kind"] = "postgres",
            ["Registry__Database__ConnectionString"] = _postgres.ConnectionString("registry"),
            ["Registry__Locations__ShowMultiple"] = "true",
            ["Registry__Import__Methods"] = "glance-direct,web-download,copy-image,glance-download",
            ["Registry__Outbound__AllowedPorts"] = "",
            ["Registry__Outbound__AllowedNetworks"] = "127.0.0.0/8",
            ["Registry__Cache__Directory"] = Directory.CreateDirectory(_directory.File("cache")).FullName,
            ["Registry__Stores__2__Id"] = "web",
            ["Registry__Stores__2__Kind"] = "http",
            ["Registry__Stores__2__Endpoint"] = _web.Address.ToString(),
        };
        foreach (var (number, store) in new[] { "fast", "cheap" }.Index())
        {
            settings[$"Registry__Stores__{number}__Id"] = store;
            settings[$"Registry__Stores__{number}__Cached"] = "true";
            settings[$"Registry__Stores__{number}__Path"] =
                Directory.CreateDirectory(_directory.File(store)).FullName;
        }

        await RegistryProcess.RunDbAsync("upgrade", settings, cancellationToken);
        await RegistryProcess.RunDbAsync("load-metadefs", settings, cancellationToken);
        _registry = await RegistryProcess.StartAsync(
            Directory.CreateDirectory(_directory.File("data")).FullName, cancellationToken, settings);
        await _keystone.AddRegionAsync(Region, _registry.Url, cancellationToken);
        await AddSensibleImageAsync(cancellationToken);
    }

    // The SDK's tests do not begin without one that they know by its name.
    private async Task AddSensibleImageAsync(CancellationToken cancellationToken)
    {
        _registry!.Client.DefaultRequestHeaders.Add("X-Auth-Token", await _keystone!.TokenAsync("admin", cancellationToken));
        using var created = await _registry.Client.PostAsJsonAsync(
            "/v2/images",
            new { name = "ubuntu", visibility = "public", disk_format = "raw", container_format = "bare" },
            cancellationToken);
        created.EnsureSuccessStatusCode();
    }

    // The names that DevStack gives to its clouds: the suites ask for them.
    private string Clouds() => string.Concat(
        new[] { ("devstack-admin", "admin"), ("devstack", "demo1-member"), ("devstack-alt", "demo2-member") }
            .Select(cloud => (Name: cloud.Item1, Variables: _keystone!.Variables(cloud.Item2, Region)))
            .Select(cloud => $"""
                {cloud.Name}:
                    region_name: {Region}
                    identity_api_version: 3
                    auth:
                      auth_url: {cloud.Variables["OS_AUTH_URL"]}
                      username: {cloud.Variables["OS_USERNAME"]}
                      password: {cloud.Variables["OS_PASSWORD"]}
                      project_name: {cloud.Variables["OS_PROJECT_NAME"]}
                      user_domain_id: default
                      project_domain_id: default

                """)
            .Select(text => $"  {text}\n")
            .Prepend("clouds:\n"));

    private string TempestSettings(string home) => string.Create(CultureInfo.InvariantCulture, $"""
        [DEFAULT]
        log_file = {home}/tempest.log
        [oslo_concurrency]
        lock_path = {home}
        [auth]
        admin_username = admin
        admin_password = {KeystoneServer.Password}
        admin_project_name = admin
        admin_domain_name = Default
        create_isolated_networks = false
        [identity]
        uri_v3 = {_keystone!.Url}
        auth_version = v3
        region = {Region}
        [identity-feature-enabled]
        api_v2 = false
        [service_available]
        glance = true
        cinder = false
        neutron = false
        nova = false
        swift = false
        horizon = false
        [enforce_scope]
        glance = true
        [image]
        region = {Region}
        alternate_image_endpoint = image
        image_caching_enabled = true
        http_image = {_web!.Address}image
        [image-feature-enabled]
        import_image = true
        os_glance_reserved = true
        manage_locations = true
        """);
}
