using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;
using Registry.Support;

[assembly: AssemblyFixture(typeof(Registry.Storage.Tests.Blobs.TestS3))]

namespace Registry.Storage.Tests.Blobs;

/// <summary>One real S3 server for all tests, started when the first asks.</summary>
public sealed class TestS3 : IAsyncLifetime
{
    private readonly SemaphoreSlim _starting = new(1, 1);
    private CephS3? _server;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <summary>The server. Skips the test where it is not installed.</summary>
    public async Task<CephS3> GetAsync()
    {
        if (!CephS3.IsInstalled)
        {
            Assert.SkipUnless(ExternalTool.IsStrict, "Ceph is not installed");
            Assert.Fail("Ceph is not installed");
        }

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

    /// <summary>A store in a new bucket.</summary>
    public async Task<S3BlobStore> OpenStoreAsync(string id, int segmentBytes = S3Options.DefaultSegmentBytes)
    {
        var server = await GetAsync();
        var store = Open(id, server.Endpoint, server.NewBucket(), segmentBytes);
        await store.PrepareAsync(CancellationToken.None);
        return store;
    }

    /// <summary>A store at an endpoint, which waits for less long than one in production.</summary>
    public static S3BlobStore Open(
        string id, Uri endpoint, string bucket, int segmentBytes, StorePatience? patience = null) =>
        new(
            id,
            new S3Options
            {
                Endpoint = endpoint,
                Region = CephS3.Region,
                Bucket = bucket,
                Prefix = "images/",
                AccessKey = CephS3.AccessKey,
                SecretKey = CephS3.SecretKey,
                CreateBucket = true,
                SegmentBytes = segmentBytes,
                Patience = patience ?? StorePatience.Default,
            },
            TimeProvider.System,
            NullLogger<S3BlobStore>.Instance);

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _starting.Dispose();
    }
}
