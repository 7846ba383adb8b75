using System.Data.Common;
using Minio;
using Minio.DataModel.Args;
using Npgsql;
using Registry.Support;

namespace Registry.Faults;

/// <summary>PostgreSQL and a bucket, each behind a gate that can harm the connections.</summary>
internal sealed class ProductionSite : Site
{
    private const string Prefix = "images/";
    private const string Password = "canary-password-of-the-database";
    private readonly PostgresServer _postgres;
    private readonly string _database;
    private readonly string _bucket;
    private readonly IMinioClient _client;
    private readonly HttpClient _http = new(new SocketsHttpHandler { UseProxy = false });

    private ProductionSite(PostgresServer postgres, string database, CephS3 s3, string bucket)
    {
        _postgres = postgres;
        _database = database;
        _bucket = bucket;
        DatabaseGate = new TcpGate(postgres.Address);
        StoreGate = new TcpGate(s3.Endpoint);
        _client = new MinioClient().WithEndpoint(s3.Endpoint.Authority).WithRegion(CephS3.Region)
            .WithCredentials(CephS3.AccessKey, CephS3.SecretKey).Build();
        Settings["Registry__Database__Kind"] = "postgres";
        Settings["Registry__Database__ConnectionString"] =
            $"Host=127.0.0.1;Port={DatabaseGate.Address.Port};Username=postgres;Password={Password};Database={database}";
        Settings["Registry__Stores__0__Id"] = Store;
        Settings["Registry__Stores__0__Kind"] = "s3";
        Settings["Registry__Stores__0__Endpoint"] = StoreGate.Address.ToString();
        Settings["Registry__Stores__0__Region"] = CephS3.Region;
        Settings["Registry__Stores__0__Bucket"] = bucket;
        Settings["Registry__Stores__0__Prefix"] = Prefix.TrimEnd('/');
        Settings["Registry__Stores__0__AccessKey"] = CephS3.AccessKey;
        Settings["Registry__Stores__0__SecretKey"] = CephS3.SecretKey;
        Settings["Registry__Stores__0__CreateBucket"] = "true";
    }

    /// <inheritdoc/>
    public override string Name => "production";

    /// <inheritdoc/>
    public override IReadOnlyList<string> Secrets => [CephS3.SecretKey, Password];

    /// <summary>What the registry's connections to the database pass.</summary>
    public TcpGate DatabaseGate { get; }

    /// <summary>What the registry's connections to the store pass.</summary>
    public TcpGate StoreGate { get; }

    /// <summary>Makes a site with a database and a bucket of its own.</summary>
    public static async Task<ProductionSite> CreateAsync(Servers servers, bool withSchema = true)
    {
        var s3 = await servers.S3Async();
        var site = new ProductionSite(
            await servers.PostgresAsync(), await servers.NewDatabaseAsync(), s3, s3.NewBucket());
        if (withSchema && await site.RunAsync("db", "upgrade") is { ExitCode: not 0 } failed)
        {
            throw new FaultException($"registry db upgrade: {failed.Output}");
        }

        return site;
    }

    /// <summary>Drops the database and creates it again, empty or as a copy of another.</summary>
    public async Task ResetDatabaseAsync(string? template = null)
    {
        NpgsqlConnection.ClearAllPools();
        await _postgres.DropDatabaseAsync(_database);
        await _postgres.CreateDatabaseAsync(_database, template);
    }

    /// <summary>Copies the database, which must not be in use, under another name.</summary>
    public Task CopyDatabaseAsync(string name) => _postgres.CreateDatabaseAsync(name, _database);

    /// <summary>Drops a copy of the database.</summary>
    public Task DropCopyAsync(string name) => _postgres.DropDatabaseAsync(name);

    /// <summary>The name of the database.</summary>
    public string Database => _database;

    /// <summary>Ends the database server as a crash would, and starts it again.</summary>
    public Task CrashDatabaseAsync() => _postgres.CrashAsync();

    /// <inheritdoc/>
    public override string ConnectionString => _postgres.ConnectionString(_database) + ";Pooling=false";

    /// <inheritdoc/>
    public override async Task<DbConnection> OpenDatabaseAsync()
    {
        var connection = new NpgsqlConnection(ConnectionString);
        await connection.OpenAsync();
        return connection;
    }

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<StoredFile>> ListAsync() =>
        await _client.ListObjectsEnumAsync(
                new ListObjectsArgs().WithBucket(_bucket).WithPrefix(Prefix).WithRecursive(true))
            .Select(item => new StoredFile(item.Key[Prefix.Length..], (long)item.Size)).ToListAsync();

    /// <inheritdoc/>
    public override async Task<IReadOnlyList<string>> UnfinishedAsync() =>
        await _client.ListIncompleteUploadsEnumAsync(
            new ListIncompleteUploadsArgs().WithBucket(_bucket).WithRecursive(true)).Select(u => u.Key).ToListAsync();

    /// <inheritdoc/>
    public override async Task FlipAsync(StoredFile file)
    {
        var content = await _http.GetByteArrayAsync(await _client.PresignedGetObjectAsync(
            new PresignedGetObjectArgs().WithBucket(_bucket).WithObject(Prefix + file.Name).WithExpiry(60)));
        content[content.Length / 2] ^= 1;
        await PutAsync(file.Name, content);
    }

    /// <inheritdoc/>
    public override async Task PutAsync(string name, byte[] content)
    {
        using var body = new ByteArrayContent(content);
        using var response = await _http.PutAsync(
            await _client.PresignedPutObjectAsync(
                new PresignedPutObjectArgs().WithBucket(_bucket).WithObject(Prefix + name).WithExpiry(60)), body);
        response.EnsureSuccessStatusCode();
    }

    /// <inheritdoc/>
    public override async Task BreakStoreAsync(Func<Task> meanwhile)
    {
        StoreGate.Harm(new GateFault { Status = 503 });
        await meanwhile();
        StoreGate.Harm(new GateFault { Holds = true });
        await meanwhile();
        StoreGate.Up();
    }

    /// <inheritdoc/>
    public override Task RemoveAsync(StoredFile file) =>
        _client.RemoveObjectAsync(new RemoveObjectArgs().WithBucket(_bucket).WithObject(Prefix + file.Name));

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await DatabaseGate.DisposeAsync();
        await StoreGate.DisposeAsync();
        NpgsqlConnection.ClearAllPools();
        await _postgres.DropDatabaseAsync(_database);
        _client.Dispose();
        _http.Dispose();
    }
}
