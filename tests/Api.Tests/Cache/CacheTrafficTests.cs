using Registry.Support;

namespace Registry.Api.Tests.Cache;

/// <summary>What passes between the registry and a real S3 server when many read one image: counted on the wire.
/// </summary>
public sealed class CacheTrafficTests(SharedS3 s3) : IAsyncLifetime
{
    private const int ImageBytes = 16 << 20;
    private readonly TempDirectory _directory = new();
    private TcpGate _gate = null!;
    private RegistryApp _app = null!;

    public async ValueTask InitializeAsync()
    {
        SharedS3.Require();
        var server = await s3.GetAsync();
        _gate = new TcpGate(server.Endpoint);
        var settings = SharedS3.Settings(0, "s3", _gate.Address, server.NewBucket());
        settings["Registry:Cache:Directory"] = _directory.File("cache");
        _app = new RegistryApp { Settings = settings };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        await _gate.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Fifty_downloads_at_once_fetch_each_block_once_and_then_the_store_is_not_needed()
    {
        var content = new byte[ImageBytes];
        new Random(1).NextBytes(content);
        var id = await _app.UploadAsync(content);
        var (bytes, requests) = (_gate.BytesReceived, _gate.Requests);
        await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => DownloadAsync(id, content)));

        // Besides the data: the index, a record, and the headers of some forty answers.
        Assert.InRange(_gate.BytesReceived - bytes, ImageBytes, ImageBytes + (ImageBytes / 100));
        Assert.InRange(_gate.Requests - requests, 1, (ImageBytes / (512 << 10)) + 10);

        _gate.Down();
        try
        {
            await DownloadAsync(id, content);
            using var range = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
            range.Headers.Range = new(5_000_001, 7_000_000);
            using var part = await _app.Http.SendAsync(range, RegistryApp.Stop);
            Assert.Equal(content[5_000_001..7_000_001], await part.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
            foreach (var format in new[] { "raw", "qcow2" })
            {
                var disk = await _app.Http.GetByteArrayAsync(
                    $"/registry/v1/images/{id}/disk?format={format}", RegistryApp.Stop);
                Assert.True(format == "qcow2" || disk.AsSpan().SequenceEqual(content));
            }
        }
        finally
        {
            _gate.Up();
        }
    }

    private async Task DownloadAsync(string id, byte[] content)
    {
        using var response = await _app.Http.GetAsync(
            $"/v2/images/{id}/file", HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
        response.EnsureSuccessStatusCode();
        await using var body = await response.Content.ReadAsStreamAsync(RegistryApp.Stop);
        var buffer = new byte[64 << 10];
        var at = 0;
        for (int read; (read = await body.ReadAsync(buffer, RegistryApp.Stop)) > 0; at += read)
        {
            Assert.True(content.AsSpan(at, read).SequenceEqual(buffer.AsSpan(0, read)));
        }

        Assert.Equal(content.Length, at);
    }
}
