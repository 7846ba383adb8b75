using Minio;
using Minio.DataModel.Args;
using Registry.Support;

[assembly: AssemblyFixture(typeof(Registry.Api.Tests.SharedS3))]
[assembly: TestCollectionOrderer(typeof(LongTestsFirst))]

namespace Registry.Api.Tests;

/// <summary>One real S3 server for all tests, started when the first asks.</summary>
public sealed class SharedS3 : IAsyncLifetime
{
    private readonly SemaphoreSlim _starting = new(1, 1);
    private CephS3? _server;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <summary>Skips the test where the server is not installed.</summary>
    public static void Require()
    {
        if (!CephS3.IsInstalled)
        {
            Assert.SkipUnless(ExternalTool.IsStrict, "Ceph is not installed");
            Assert.Fail("Ceph is not installed");
        }
    }

    /// <summary>The server.</summary>
    public async Task<CephS3> GetAsync()
    {
        await _starting.WaitAsync();
        try
        {
            return _server ??= await CephS3.StartAsync();
        }
        finally
        {
            _starting.Release();
        }
    }

    /// <summary>The settings of a store in a bucket.</summary>
    public static Dictionary<string, string?> Settings(int number, string id, Uri endpoint, string bucket) => new()
    {
        [$"Registry:Stores:{number}:Id"] = id,
        [$"Registry:Stores:{number}:Kind"] = "s3",
        [$"Registry:Stores:{number}:Endpoint"] = endpoint.ToString(),
        [$"Registry:Stores:{number}:Region"] = CephS3.Region,
        [$"Registry:Stores:{number}:Bucket"] = bucket,
        [$"Registry:Stores:{number}:Prefix"] = "images",
        [$"Registry:Stores:{number}:AccessKey"] = CephS3.AccessKey,
        [$"Registry:Stores:{number}:SecretKey"] = CephS3.SecretKey,
        [$"Registry:Stores:{number}:CreateBucket"] = "true",
        [$"Registry:Stores:{number}:Silence"] = "00:00:05",
        [$"Registry:Stores:{number}:Deadline"] = "00:00:15",
    };

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _starting.Dispose();
    }
}

/// <summary>A registry whose only store is a bucket.</summary>
public sealed class S3RegistryApp(SharedS3 s3) : RegistryApp
{
    private string _bucket = "";
    private IMinioClient? _client;

    public override void Require() => SharedS3.Require();

    public override async ValueTask InitializeAsync()
    {
        if (CephS3.IsInstalled)
        {
            await base.InitializeAsync();
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _client?.Dispose();
    }

    public override async Task<IReadOnlyList<string>> StoredFilesAsync()
    {
        var found = _client!.ListObjectsEnumAsync(new ListObjectsArgs().WithBucket(_bucket).WithRecursive(true), Stop);
        return await found.Select(item => item.Key).ToListAsync(Stop);
    }

    public override async Task FlipByteAsync(string id, int offset)
    {
        var name = (await StoredFilesAsync()).Single(
            n => n.Contains(id, StringComparison.Ordinal) && n.EndsWith("data.0", StringComparison.Ordinal));
        using var http = new HttpClient();
        var content = await http.GetByteArrayAsync(
            await _client!.PresignedGetObjectAsync(
                new PresignedGetObjectArgs().WithBucket(_bucket).WithObject(name).WithExpiry(60)), Stop);
        content[offset] ^= 1;
        using var body = new ByteArrayContent(content);
        using var response = await http.PutAsync(
            await _client.PresignedPutObjectAsync(
                new PresignedPutObjectArgs().WithBucket(_bucket).WithObject(name).WithExpiry(60)), body, Stop);
        response.EnsureSuccessStatusCode();
    }

    protected override async Task<Dictionary<string, string?>> SettingsAsync()
    {
        var server = await s3.GetAsync();
        _bucket = server.NewBucket();
        _client = new MinioClient().WithEndpoint(server.Endpoint.Authority).WithRegion(CephS3.Region)
            .WithCredentials(CephS3.AccessKey, CephS3.SecretKey).Build();
        return SharedS3.Settings(0, "s3", server.Endpoint, _bucket);
    }
}
