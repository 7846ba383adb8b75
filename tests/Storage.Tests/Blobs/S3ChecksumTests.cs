using Microsoft.Extensions.Logging.Abstractions;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Remote;
using Registry.Storage.Blobs.S3;
using Registry.Storage.Domain;
using Registry.Storage.Tests.Domain;
using Registry.Support;

namespace Registry.Storage.Tests.Blobs;

/// <summary>Bits that flip between the registry and an S3 store.</summary>
public sealed class S3ChecksumTests(TestS3 s3)
{
    private const int SegmentBytes = 4 * BlobIndex.BlockBytes;
    private static readonly StorePatience _patience = new(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(8));

    private readonly BlobKey _key = new(Images.NewId(), 1);
    private readonly byte[] _data = new byte[(5 * SegmentBytes) + 12_345];

    /// <summary>Every kind of object that is written, and places in it: first, middle and last byte of the body, and the
    /// head.</summary>
    public static TheoryData<string, double, int> Places
    {
        get
        {
            var places = new TheoryData<string, double, int>();
            foreach (var name in new[] { "/data.0", "/data.2", "/data.5", "/index.0", "/blob" })
            {
                places.Add(name, 0, 0);
                places.Add(name, 0.37, 0);
                places.Add(name, 1, 0);
            }

            foreach (var back in new[] { 1, 7, 20, 60, 120, 300, 450 })
            {
                places.Add("/data.1", 0, back);
                places.Add("/blob", 0, back);
                places.Add("/upload", 0, back);
            }

            return places;
        }
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Places))]
    public async Task One_flip_on_the_way_to_Ceph_costs_a_retry(string name, double share, int headBack)
    {
        await using var gate = await OpenGateAsync();
        using var store = await OpenCephAsync(gate);
        gate.Harm(new GateFault { FlipRequest = new RequestFlip($"PUT {name}", share, headBack), Times = 1 });
        var location = await UploadAsync(store);
        Assert.Equal(1, gate.Flips);
        await RequireWholeAsync(store, location);
    }

    [Theory]
    [InlineData("/data.0", 0)]
    [InlineData("/data.3", 0.5)]
    [InlineData("/data.5", 1)]
    [InlineData("/index.0", 0.9)]
    [InlineData("/blob", 0.3)]
    public async Task Flips_that_do_not_stop_fail_the_upload_to_Ceph_which_works_after_them(string name, double share)
    {
        await using var gate = await OpenGateAsync();
        using var store = await OpenCephAsync(gate);
        gate.Harm(new GateFault { FlipRequest = new RequestFlip($"PUT {name}", share) });
        var e = await Assert.ThrowsAsync<StoreUnavailableException>(() => UploadAsync(store));
        Assert.True(e.MayPass);
        Assert.Contains("got other bytes than were sent", e.Message, StringComparison.Ordinal);
        Assert.Equal(5, gate.Flips);
        gate.Up();
        Assert.Null(await store.StatAsync(_key, Cancellation));
        Assert.Empty(await store.ListAsync(Cancellation).ToListAsync(Cancellation));
        await RequireWholeAsync(store, await UploadAsync(store));
    }

    [Theory]
    [InlineData("data.0")]
    [InlineData("data.4")]
    [InlineData("data.5")]
    [InlineData("index.0")]
    [InlineData("/blob")]
    public async Task A_store_that_ignores_checksums_is_read_back(string ending)
    {
        await using var server = new FakeS3 { IgnoresChecksums = true };
        using var store = OpenFake(server);
        server.Spoil("PUT", ending, S3Fault.BitFlip, 2);
        await RequireWholeAsync(store, await UploadAsync(store));
        Assert.Equal(3, Count(server, "PUT", ending));

        await store.DeleteAsync(_key, Cancellation);
        server.Spoil("PUT", ending, S3Fault.BitFlip);
        var e = await Assert.ThrowsAsync<StoreUnavailableException>(() => UploadAsync(store));
        Assert.Contains("stored other bytes than were sent", e.Message, StringComparison.Ordinal);
        server.Heal();
        Assert.Null(await store.StatAsync(_key, Cancellation));
        await RequireWholeAsync(store, await UploadAsync(store));
    }

    [Fact]
    public async Task A_store_that_is_trusted_is_not_read_back()
    {
        await using var server = new FakeS3 { IgnoresChecksums = true };
        using var store = OpenFake(server, isTrusted: true);
        await UploadAsync(store);
        Assert.Equal(0, Count(server, "GET", "data.0"));
    }

    [Fact]
    public async Task A_store_that_confirms_checksums_is_not_read_back()
    {
        await using var server = new FakeS3();
        using var store = OpenFake(server);
        await UploadAsync(store);
        Assert.Equal(0, Count(server, "GET", "data.0"));
    }

    [Theory]
    [InlineData(false, 6)]
    [InlineData(true, 1)]
    public async Task Tags_of_encrypted_objects_are_no_damage(bool isTrusted, int readBacksMax)
    {
        await using var server = new FakeS3 { HasForeignTags = true };
        using var store = OpenFake(server, isTrusted);
        await UploadAsync(store);
        Assert.Equal(6, server.Requests.Count(r => r.Method == "PUT" && r.Name.Contains("data.", StringComparison.Ordinal)));
        var readBacks = server.Requests.Count(r => r.Method == "GET" && r.Name.Contains("data.", StringComparison.Ordinal));
        Assert.InRange(readBacks, isTrusted ? 0 : readBacksMax, isTrusted ? 3 : readBacksMax);
    }

    [Fact]
    public async Task A_record_that_was_acknowledged_and_forgotten_is_no_blob()
    {
        await using var server = new FakeS3();
        using var store = OpenFake(server);
        server.Spoil("PUT", "/blob", S3Fault.Forgotten);
        await Assert.ThrowsAnyAsync<IOException>(() => UploadAsync(store));
        Assert.Empty(await store.ListAsync(Cancellation).ToListAsync(Cancellation));
    }

    [Fact]
    public async Task A_record_that_was_damaged_on_its_way_back_is_not_kept()
    {
        await using var server = new FakeS3();
        using var writer = OpenFake(server);
        var location = await UploadAsync(writer);
        using var store = OpenFake(server);
        server.Spoil("GET", "/blob", S3Fault.BitFlip, 1);
        await RequireWholeAsync(store, location);
        await RequireWholeAsync(store, location);
    }

    [Fact]
    public async Task Answers_of_Ceph_that_are_damaged_anywhere_are_never_taken_for_data()
    {
        await using var gate = await OpenGateAsync();
        var bucket = (await s3.GetAsync()).NewBucket();
        using var writer = await OpenCephAsync(gate, bucket);
        var location = await UploadAsync(writer);
        for (var at = 0; at < 1_200; at += 37)
        {
            using var store = await OpenCephAsync(gate, bucket);
            gate.Harm(new GateFault { FlipAt = at, Times = 1 });
            await RequireWholeAsync(store, location);
            gate.Up();
        }
    }

    private static int Count(FakeS3 server, string method, string ending) =>
        server.Requests.Count(r => r.Method == method && r.Name.EndsWith(ending, StringComparison.Ordinal));

    private async Task<TcpGate> OpenGateAsync() => new((await s3.GetAsync()).Endpoint);

    private async Task<S3BlobStore> OpenCephAsync(TcpGate gate, string? bucket = null)
    {
        var store = TestS3.Open(
            "s1", gate.Address, bucket ?? (await s3.GetAsync()).NewBucket(), SegmentBytes, _patience);
        await store.PrepareAsync(Cancellation);
        return store;
    }

    private static S3BlobStore OpenFake(FakeS3 server, bool isTrusted = false) => new(
        "s1",
        new S3Options
        {
            Endpoint = server.Endpoint,
            Region = CephS3.Region,
            Bucket = "bucket",
            AccessKey = CephS3.AccessKey,
            SecretKey = CephS3.SecretKey,
            SegmentBytes = SegmentBytes,
            Patience = _patience,
            VerifiesUnconfirmedWrites = !isTrusted,
        },
        TimeProvider.System,
        NullLogger<S3BlobStore>.Instance);

    private async Task<ImageLocation> UploadAsync(S3BlobStore store)
    {
        new Random(5).NextBytes(_data);
        await using var writer = await store.BeginAsync(_key, null, Cancellation);
        var index = new BlobIndexWriter((page, token) => writer.AppendAsync(BlobPart.Index, page, token));
        for (var at = 0; at < _data.Length; at += 100_000)
        {
            var chunk = _data.AsMemory(at, Math.Min(100_000, _data.Length - at));
            await index.AppendAsync(chunk, Cancellation);
            await writer.AppendAsync(BlobPart.Data, chunk, Cancellation);
        }

        var root = await index.FinishAsync(Cancellation);
        await writer.CommitAsync(Cancellation);
        return new ImageLocation(
            _key, "s1", _data.Length, root.IndexLength, root.IndexDigest.Span, DateTimeOffset.UnixEpoch);
    }

    private async Task RequireWholeAsync(S3BlobStore store, ImageLocation location)
    {
        using var blob = await VerifiedBlob.OpenAsync(store, location, Cancellation);
        var bytes = new byte[_data.Length];
        Assert.Equal(bytes.Length, await blob.ReadAsync(0, bytes, Cancellation));
        Assert.Equal(_data, bytes);
    }
}
