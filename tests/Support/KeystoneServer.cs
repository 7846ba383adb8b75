using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace Registry.Support;

/// <summary>The real Keystone of Debian (python3-keystone), with projects, users and roles, on a PostgreSQL server.</summary>
/// <remarks>Projects are <c>admin</c>, <c>service</c>, <c>demo1</c> and <c>demo2</c>. Users are <c>admin</c>,
/// <c>glance</c> (the service user: admin and service in <c>service</c>), and in each of the demo projects one for each
/// of the roles, as <c>demo1-reader</c>. The catalogue has a region for each image service that is compared. The service
/// user is a reader of the system too, so it may read everybody's limits.</remarks>
public sealed class KeystoneServer : IAsyncDisposable
{
    /// <summary>Password of every user.</summary>
    public const string Password = "secret";

    /// <summary>The service user.</summary>
    public const string ServiceUser = "glance";

    private const string Database = "keystone";
    private const string Runner = "uwsgi_python3";
    private const string FirstRegion = "first";
    private static readonly string[] Projects = ["demo1", "demo2"];
    private static readonly string[] Roles = ["admin", "manager", "member", "reader"];
    private static readonly string[] Interfaces = ["public", "internal", "admin"];

    private readonly TempDirectory _directory = new();
    private readonly HttpClient _client = new(new SocketsHttpHandler { UseProxy = false });
    private readonly Dictionary<string, string> _projects = [];
    private readonly Dictionary<(string Region, string Project, string Resource), string> _limits = [];
    private PythonServer? _server;
    private string _images = "";
    private string _identity = "";

    private KeystoneServer(int port) => Url = new Uri($"http://127.0.0.1:{port}/v3");

    /// <summary>Its address, with the version.</summary>
    public Uri Url { get; }

    /// <summary>Ids of the projects, by name.</summary>
    public IReadOnlyDictionary<string, string> ProjectIds => _projects;

    /// <summary>Skips the test where Keystone cannot run.</summary>
    public static void Require() => PythonServer.Require(
        ("python3-keystone", PythonServer.Has("keystone/server/wsgi.py")),
        ("uwsgi-plugin-python3", ExternalTool.Find(Runner) is not null),
        ("PostgreSQL", PostgresServer.FindBinaries() is not null));

    /// <summary>Starts Keystone and fills it.</summary>
    /// <param name="postgres">Where its database is made.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    public static async Task<KeystoneServer> StartAsync(PostgresServer postgres, CancellationToken cancellationToken)
    {
        Require();
        var keystone = new KeystoneServer(Ports.Free());
        try
        {
            await keystone.StartHereAsync(postgres, cancellationToken);
            return keystone;
        }
        catch
        {
            await keystone.DisposeAsync();
            throw;
        }
    }

    /// <summary>The environment of a client that acts as a user on the image service of a region.</summary>
    public Dictionary<string, string> Variables(string user, string region) => new()
    {
        ["OS_AUTH_URL"] = Url.ToString(),
        ["OS_USERNAME"] = user,
        ["OS_PASSWORD"] = Password,
        ["OS_PROJECT_NAME"] = ProjectOf(user),
        ["OS_USER_DOMAIN_ID"] = "default",
        ["OS_PROJECT_DOMAIN_ID"] = "default",
        ["OS_IDENTITY_API_VERSION"] = "3",
        ["OS_REGION_NAME"] = region,
    };

    /// <summary>Settings of a registry that asks this Keystone who callers are.</summary>
    public Dictionary<string, string> RegistrySettings() => new()
    {
        ["Registry__Auth__Kind"] = "keystone",
        ["Registry__Auth__Keystone__Url"] = Url.ToString(),
        ["Registry__Auth__Keystone__Username"] = ServiceUser,
        ["Registry__Auth__Keystone__Password"] = Password,
        ["Registry__Auth__Keystone__Project"] = "service",
    };

    /// <summary>A token of a user for the user's project.</summary>
    public async Task<string> TokenAsync(string user, CancellationToken cancellationToken)
    {
        var domain = new { id = "default" };
        using var response = await PostAsync(
            "auth/tokens",
            new
            {
                auth = new
                {
                    identity = new
                    {
                        methods = new[] { "password" },
                        password = new { user = new { name = user, domain, password = Password } },
                    },
                    scope = new { project = new { name = ProjectOf(user), domain } },
                },
            },
            cancellationToken);
        response.EnsureSuccessStatusCode();
        return response.Headers.GetValues("X-Subject-Token").Single();
    }

    /// <summary>Puts an image service into the catalogue.</summary>
    /// <param name="region">Its region, new.</param>
    /// <param name="url">Its address.</param>
    /// <param name="cancellationToken">Cancels the requests.</param>
    public async Task AddRegionAsync(string region, Uri url, CancellationToken cancellationToken)
    {
        await SendAsync("regions", new { region = new { id = region } }, cancellationToken);
        foreach (var (service, address) in new[] { (_images, url), (_identity, Url) })
        {
            foreach (var interfaceName in Interfaces)
            {
                var endpoint = new
                {
                    service_id = service,
                    @interface = interfaceName,
                    region_id = region,
                    url = address.ToString().TrimEnd('/'),
                };
                await SendAsync("endpoints", new { endpoint }, cancellationToken);
            }
        }
    }

    /// <summary>Registers a limit for an image service.</summary>
    /// <param name="region">The service's region.</param>
    /// <param name="resource">What is limited.</param>
    /// <param name="value">The limit of projects that have none of their own.</param>
    /// <param name="cancellationToken">Cancels the request.</param>
    public Task RegisterLimitAsync(string region, string resource, int value, CancellationToken cancellationToken) =>
        SendManyAsync(
            "registered_limits",
            new { service_id = _images, region_id = region, resource_name = resource, default_limit = value },
            cancellationToken);

    /// <summary>Sets or changes a project's limit at an image service.</summary>
    /// <param name="region">The service's region.</param>
    /// <param name="project">The project's name.</param>
    /// <param name="resource">What is limited; registered.</param>
    /// <param name="value">The limit.</param>
    /// <param name="cancellationToken">Cancels the requests.</param>
    public async Task LimitAsync(
        string region, string project, string resource, int value, CancellationToken cancellationToken)
    {
        var key = (region, project, resource);
        if (_limits.TryGetValue(key, out var id))
        {
            using var content = Json(new { limit = new { resource_limit = value } });
            using var response = await _client.PatchAsync($"{Url}/limits/{id}", content, cancellationToken);
            response.EnsureSuccessStatusCode();
            return;
        }

        _limits[key] = await SendManyAsync(
            "limits",
            new
            {
                service_id = _images,
                region_id = region,
                project_id = _projects[project],
                resource_name = resource,
                resource_limit = value,
            },
            cancellationToken);
    }

    /// <summary>One of the endpoints of the image service in a region.</summary>
    public async Task<string> EndpointAsync(string region, CancellationToken cancellationToken)
    {
        var answer = await _client.GetFromJsonAsync<JsonElement>(
            $"{Url}/endpoints?service_id={_images}&region_id={region}&interface=public", cancellationToken);
        return answer.GetProperty("endpoints")[0].GetProperty("id").GetString()!;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _directory.Dispose();
    }

    private static string ProjectOf(string user) => user switch
    {
        "admin" => "admin",
        ServiceUser => "service",
        _ => user.Split('-')[0],
    };

    private async Task StartHereAsync(PostgresServer postgres, CancellationToken cancellationToken)
    {
        var settings = _directory.File("keystone.conf");
        var wsgi = _directory.File("keystone.wsgi");
        await postgres.CreateDatabaseAsync(Database);
        await File.WriteAllTextAsync(settings, $"""
            [DEFAULT]
            use_stderr = true
            [database]
            connection = postgresql+psycopg2://postgres:unused@127.0.0.1:{postgres.Address.Port}/{Database}
            [token]
            expiration = 86400
            [fernet_tokens]
            key_repository = {_directory.File("fernet")}
            [credential]
            key_repository = {_directory.File("credential")}
            [cache]
            enabled = true
            backend = dogpile.cache.memory
            [catalog]
            caching = false
            [identity]
            password_hash_rounds = 4
            """, cancellationToken);
        await File.WriteAllTextAsync(wsgi, """
            from keystone.server.wsgi import initialize_public_application
            application = initialize_public_application()
            """, cancellationToken);
        Directory.CreateDirectory(_directory.File("fernet"));
        Directory.CreateDirectory(_directory.File("credential"));
        string[] owner = ["--keystone-user", Environment.UserName, "--keystone-group", Environment.UserName];
        string[][] steps =
        [
            ["db_sync"],
            ["fernet_setup", .. owner],
            ["credential_setup", .. owner],
            [
                "bootstrap", "--bootstrap-username", "admin", "--bootstrap-password", Password,
                "--bootstrap-project-name", "admin", "--bootstrap-role-name", "admin",
                "--bootstrap-service-name", "keystone", "--bootstrap-region-id", FirstRegion,
                "--bootstrap-public-url", Url.ToString(),
            ],
        ];
        foreach (var step in steps)
        {
            await PythonServer.CallAsync("keystone.cmd.manage", ["--config-file", settings, .. step], cancellationToken);
        }

        _server = await PythonServer.StartAsync(
            ExternalTool.Find(Runner)!,
            [
                "--http-socket", Url.Authority, "--wsgi-file", wsgi, "--env", $"OS_KEYSTONE_CONFIG_FILES={settings}",
                "--master", "--die-on-term", "--threads", "8", "--buffer-size", "65535", "--disable-logging",

                // This server closes every connection, and says so only when told.
                "--add-header", "Connection: close",
            ],
            Url,
            cancellationToken);
        await FillAsync(cancellationToken);
    }

    private async Task FillAsync(CancellationToken cancellationToken)
    {
        _client.DefaultRequestHeaders.Add("X-Auth-Token", await TokenAsync("admin", cancellationToken));
        var roles = await NamesAsync("roles", cancellationToken);
        foreach (var role in Roles.Append("service").Where(role => !roles.ContainsKey(role)))
        {
            roles[role] = await SendAsync("roles", new { role = new { name = role } }, cancellationToken);
        }

        foreach (var project in Projects.Append("service"))
        {
            await SendAsync("projects", new { project = new { name = project, domain_id = "default" } }, cancellationToken);
        }

        foreach (var (name, id) in await NamesAsync("projects", cancellationToken))
        {
            _projects[name] = id;
        }

        var users = Projects.SelectMany(project => Roles.Select(role => (Name: $"{project}-{role}", Roles: new[] { role })));
        foreach (var user in users.Append((ServiceUser, ["admin", "service"])))
        {
            var id = await SendAsync(
                "users", new { user = new { name = user.Name, password = Password, domain_id = "default" } },
                cancellationToken);
            foreach (var role in user.Roles)
            {
                using var granted = await _client.PutAsync(
                    $"{Url}/projects/{_projects[ProjectOf(user.Name)]}/users/{id}/roles/{roles[role]}", null,
                    cancellationToken);
                granted.EnsureSuccessStatusCode();
            }

            if (user.Name == ServiceUser)
            {
                using var granted = await _client.PutAsync(
                    $"{Url}/system/users/{id}/roles/{roles["reader"]}", null, cancellationToken);
                granted.EnsureSuccessStatusCode();
            }
        }

        _identity = (await NamesAsync("services", cancellationToken))["keystone"];
        _images = await SendAsync(
            "services", new { service = new { name = "glance", type = "image" } }, cancellationToken);
    }

    // With its length: uWSGI reads no chunks.
    private async Task<HttpResponseMessage> PostAsync(string path, object body, CancellationToken cancellationToken)
    {
        using var content = Json(body);
        return await _client.PostAsync($"{Url}/{path}", content, cancellationToken);
    }

    private static StringContent Json(object body) => new(JsonSerializer.Serialize(body), Encoding.UTF8, "application/json");

    // Ids by name.
    private async Task<Dictionary<string, string>> NamesAsync(string collection, CancellationToken cancellationToken)
    {
        var answer = await _client.GetFromJsonAsync<JsonElement>($"{Url}/{collection}", cancellationToken);
        return answer.GetProperty(collection).EnumerateArray()
            .ToDictionary(item => item.GetProperty("name").GetString()!, item => item.GetProperty("id").GetString()!);
    }

    // The id of what was made.
    private async Task<string> SendAsync(string collection, object body, CancellationToken cancellationToken)
    {
        using var response = await PostAsync(collection, body, cancellationToken);
        response.EnsureSuccessStatusCode();
        var answer = await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
        return answer.EnumerateObject().First().Value.GetProperty("id").GetString()!;
    }

    // The id of what was made, where lists are made.
    private async Task<string> SendManyAsync(string collection, object item, CancellationToken cancellationToken)
    {
        using var response = await PostAsync(
            collection, new Dictionary<string, object> { [collection] = new[] { item } }, cancellationToken);
        response.EnsureSuccessStatusCode();
        var answer = await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
        return answer.GetProperty(collection)[0].GetProperty("id").GetString()!;
    }
}
