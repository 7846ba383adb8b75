using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

public sealed class S3BlobStoreTests(TestS3 s3) : BlobStoreContract
{
    private const int SegmentBytes = 2 * BlobIndex.BlockBytes;
    private S3BlobStore _store = null!;

    protected override IBlobStore Store => _store;

    [Fact]
    public async Task A_read_joins_segments_and_a_reader_needs_no_setting_of_the_writer()
    {
        var data = Bytes((5 * SegmentBytes) + 1000);
        var key = await WriteAsync(data);
        Assert.Equal(data, await ReadAsync(key, BlobPart.Data, 0, data.Length));
        Assert.Equal(
            data[(SegmentBytes - 10)..((3 * SegmentBytes) + 10)],
            await ReadAsync(key, BlobPart.Data, SegmentBytes - 10, (2 * SegmentBytes) + 20));
        Assert.Equal(data[^5..], await ReadAsync(key, BlobPart.Data, data.Length - 5, 100));

        using var other = TestS3.Open("s1", (await s3.GetAsync()).Endpoint, Bucket, 16 * SegmentBytes);
        var buffer = new byte[data.Length];
        Assert.Equal(data.Length, await other.ReadAsync(key, BlobPart.Data, 0, buffer, Cancellation));
        Assert.Equal(data, buffer);
    }

    [Fact]
    public async Task What_is_not_committed_reads_back_from_memory_and_from_the_store()
    {
        var data = Bytes((7 * SegmentBytes) + 77);
        var index = Bytes((2 * S3BlobStore.IndexSegmentBytes) + 99);
        var key = NewKey();
        await using var writer = await Store.BeginAsync(key, null, Cancellation);
        for (var at = 0; at < data.Length; at += 50_000)
        {
            await writer.AppendAsync(
                BlobPart.Data, data.AsMemory(at, Math.Min(50_000, data.Length - at)), Cancellation);
        }

        await writer.AppendAsync(BlobPart.Index, index, Cancellation);
        var back = new byte[data.Length];
        Assert.Equal(data.Length, await writer.ReadAsync(BlobPart.Data, 0, back, Cancellation));
        Assert.Equal(data, back);
        await writer.CommitAsync(Cancellation);
        Assert.Equal(index, await ReadAsync(key, BlobPart.Index, 0, index.Length + 1));
    }

    [Fact]
    public async Task A_missing_bucket_and_a_wrong_key_are_told_apart_from_a_store_that_is_down()
    {
        var endpoint = (await s3.GetAsync()).Endpoint;
        var options = new S3Options
        {
            Endpoint = endpoint,
            Region = CephS3.Region,
            Bucket = "no-such-bucket",
            AccessKey = CephS3.AccessKey,
            SecretKey = CephS3.SecretKey,
        };
        await ExpectAsync(options, mayPass: false, "NoSuchBucket");
        await ExpectAsync(options with { SecretKey = "wrong" }, mayPass: false, "answered 403");
        var patience = new StorePatience(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        await ExpectAsync(
            options with { Endpoint = new Uri("http://127.0.0.1:1"), Patience = patience }, true, "cannot be reached");

        async Task ExpectAsync(S3Options wrong, bool mayPass, string says)
        {
            using var store = new S3BlobStore(
                "s9",
                wrong,
                TimeProvider.System,
                Microsoft.Extensions.Logging.Abstractions.NullLogger<S3BlobStore>.Instance);
            var e = await Assert.ThrowsAsync<StoreUnavailableException>(() => store.PrepareAsync(Cancellation));
            Assert.Equal(mayPass, e.MayPass);
            Assert.Contains(says, e.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("Signature", e.ToString(), StringComparison.Ordinal);
            Assert.DoesNotContain(CephS3.SecretKey, e.ToString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task What_is_not_a_blob_is_left_alone()
    {
        var key = await WriteAsync([1]);
        using var wider = new S3BlobStore(
            "s1",
            new S3Options
            {
                Endpoint = (await s3.GetAsync()).Endpoint,
                Region = CephS3.Region,
                Bucket = Bucket,
                AccessKey = CephS3.AccessKey,
                SecretKey = CephS3.SecretKey,
            },
            TimeProvider.System,
            Microsoft.Extensions.Logging.Abstractions.NullLogger<S3BlobStore>.Instance);
        Assert.Empty(await wider.ListAsync(Cancellation).ToListAsync(Cancellation)); // its names begin otherwise
        Assert.Equal(key, Assert.Single(await ListAsync()).Key);
    }

    private string Bucket { get; set; } = "";

    public override async ValueTask InitializeAsync()
    {
        var server = await s3.GetAsync();
        Bucket = server.NewBucket();
        _store = TestS3.Open("s1", server.Endpoint, Bucket, SegmentBytes);
        await _store.PrepareAsync(CancellationToken.None);
    }

    // A listing of the store tells of every object that belongs to a blob, so nothing else can be left.
    protected override IReadOnlyList<string> Leftovers() => [];

    protected override void Close() => _store.Dispose();
}
