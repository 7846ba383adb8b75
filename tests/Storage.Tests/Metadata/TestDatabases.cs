using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Metadata;
using Registry.Support;

[assembly: AssemblyFixture(typeof(Registry.Storage.Tests.Metadata.TestDatabases))]

namespace Registry.Storage.Tests.Metadata;

/// <summary>Migrated databases, made once and copied for each test class.</summary>
public sealed class TestDatabases : IAsyncLifetime
{
    private const string Template = "registry_template";

    private readonly TempDirectory _directory = new();
    private readonly SemaphoreSlim _making = new(1, 1);
    private PostgresServer? _server;
    private bool _isSqliteReady;
    private int _count;

    private string SqliteTemplate => Path.Combine(_directory.Path, "template.db");

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <summary>A new, empty, migrated database. Skips the test where PostgreSQL is not installed.</summary>
    public async Task<TestDatabase> CreateAsync(DatabaseKind kind)
    {
        if (kind == DatabaseKind.Postgres && PostgresServer.FindBinaries() is null)
        {
            Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", "PostgreSQL is not installed");
            Assert.Fail("PostgreSQL is not installed");
        }

        await _making.WaitAsync();
        try
        {
            return kind == DatabaseKind.Sqlite ? await CreateSqliteAsync() : await CreatePostgresAsync();
        }
        finally
        {
            _making.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            Npgsql.NpgsqlConnection.ClearAllPools();
            await _server.DisposeAsync();
        }

        Microsoft.Data.Sqlite.SqliteConnection.ClearAllPools();
        _directory.Dispose();
        _making.Dispose();
    }

    private async Task<TestDatabase> CreateSqliteAsync()
    {
        if (!_isSqliteReady)
        {
            await MigrateAsync(
                new() { Kind = DatabaseKind.Sqlite, ConnectionString = $"Data Source={SqliteTemplate};Pooling=False" });
            _isSqliteReady = true;
        }

        var file = Path.Combine(_directory.Path, $"{++_count}.db");
        File.Copy(SqliteTemplate, file);
        return new TestDatabase(new() { Kind = DatabaseKind.Sqlite, ConnectionString = $"Data Source={file}" });
    }

    private async Task<TestDatabase> CreatePostgresAsync()
    {
        if (_server is null)
        {
            _server = await PostgresServer.StartAsync();
            await _server.CreateDatabaseAsync(Template);
            await MigrateAsync(new()
            {
                Kind = DatabaseKind.Postgres,
                ConnectionString = _server.ConnectionString(Template) + ";Pooling=False",
            });
        }

        var name = $"registry_{++_count}";
        await _server.CreateDatabaseAsync(name, Template);
        return new TestDatabase(
            new() { Kind = DatabaseKind.Postgres, ConnectionString = _server.ConnectionString(name) });
    }

    private static async Task MigrateAsync(DatabaseOptions options)
    {
        await using var database = new TestDatabase(options);
        var migrator = database.Get<DatabaseMigrator>();
        Assert.NotEmpty(await migrator.PendingAsync(CancellationToken.None));
        await migrator.MigrateAsync(CancellationToken.None);
        Assert.Empty(await migrator.PendingAsync(CancellationToken.None));
    }
}

/// <summary>A database and the services on it, wired as the server wires them, on a clock that stands still.</summary>
public sealed class TestDatabase : IAsyncDisposable
{
    private readonly ServiceProvider _services;

    public TestDatabase(DatabaseOptions options)
    {
        Options = options;
        var services = new ServiceCollection();
        services.AddSingleton<TimeProvider>(Time);
        services.AddSingleton(typeof(Microsoft.Extensions.Logging.ILogger<>), typeof(NullLogger<>));
        services.AddRegistryStorage(options, Quota);
        _services = services.BuildServiceProvider();
    }

    public DatabaseOptions Options { get; }

    public DatabaseKind Kind => Options.Kind;

    public SteppedTime Time { get; } = new(new DateTimeOffset(2026, 11, 5, 12, 30, 15, TimeSpan.Zero));

    /// <summary>Bytes that a project may keep.</summary>
    public const long Quota = 1000_000_000;

    public ImageEditor Editor => Get<ImageEditor>();

    public UploadLedger Ledger => Get<UploadLedger>();

    public BlobReaper Reaper => Get<BlobReaper>();

    public T Get<T>()
        where T : notnull => _services.GetRequiredService<T>();

    public Task<RegistryDb> OpenAsync() => Get<IDbContextFactory<RegistryDb>>().CreateDbContextAsync();

    // Idle connections to a database that nobody needs any more count with the server for minutes, and it takes so many.
    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        if (Kind == DatabaseKind.Postgres)
        {
            Npgsql.NpgsqlConnection.ClearAllPools();
        }
    }
}

/// <summary>A contract test on one kind of database; each test class gets its own.</summary>
public abstract class DatabaseContract(TestDatabases databases, DatabaseKind kind) : IAsyncLifetime
{
    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    protected TestDatabase Database { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Database = await databases.CreateAsync(kind);

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (Database is not null)
        {
            await Database.DisposeAsync();
        }

        Close();
    }

    protected virtual void Close()
    {
    }
}
