using System.Buffers.Binary;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Registry.Api.Tests.ImageData;

public sealed class UploadTests(RegistryApp app) : UploadContract(app), IClassFixture<RegistryApp>;
public sealed class S3UploadTests(S3RegistryApp app) : UploadContract(app), IClassFixture<S3RegistryApp>;

/// <summary>What an upload and a download must do, whatever keeps the bytes.</summary>
public abstract partial class UploadContract
{
    private readonly RegistryApp app;

    private const int Mebibyte = 1 << 20;
    private const string BackingFile = "backing file";
    private const string DataFile = "data file";
    private const string UnknownBit = "unknown bit";
    private const string AbsurdL1 = "absurd l1";
    private const string SharedCluster = "one cluster 512 times";

    protected UploadContract(RegistryApp app)
    {
        app.Require();
        this.app = app;
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4095)]
    [InlineData(65536)]
    [InlineData(65537)]
    [InlineData(Mebibyte)]
    [InlineData((5 * Mebibyte) + 1)]
    public async Task What_was_uploaded_comes_back_with_its_digests(int length)
    {
        var content = RandomNumberGenerator.GetBytes(length);
        content.AsSpan(length / 3, length / 3).Clear();
        var id = await app.UploadAsync(content);
        var image = await app.ShowAsync(id);
        Assert.Equal("active", image.GetProperty("status").GetString());
        Assert.Equal(length, image.GetProperty("size").GetInt64());
        Assert.Equal(Convert.ToHexStringLower(MD5.HashData(content)), image.GetProperty("checksum").GetString());
        Assert.Equal("sha512", image.GetProperty("os_hash_algo").GetString());
        Assert.Equal(
            Convert.ToHexStringLower(SHA512.HashData(content)), image.GetProperty("os_hash_value").GetString());

        using var response = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file");
        Assert.Equal(200, (int)response.StatusCode);
        Assert.Equal(length, response.Content.Headers.ContentLength);
        Assert.Equal(
            image.GetProperty("checksum").GetString(), response.Content.Headers.GetValues("Content-MD5").Single());
        Assert.Equal(content, await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
    }

    [Fact]
    public async Task An_image_without_bytes_downloads_as_204()
    {
        var id = await app.CreateAsync();
        using var response = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file");
        Assert.Equal(204, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("bytes=0-9", 206, 0, 10)]
    [InlineData("bytes=65530-65545", 206, 65530, 16)]
    [InlineData("bytes=99990-", 206, 99990, 10)]
    [InlineData("bytes=99990-200000", 206, 99990, 10)]
    [InlineData("bytes=-5", 206, 99995, 5)]
    [InlineData("bytes=-200000", 206, 0, 100000)]
    [InlineData("bytes=99990-99999999999999999999", 206, 99990, 10)]
    [InlineData("bytes=100000-", 416, 0, 0)]
    [InlineData("bytes=5-4", 416, 0, 0)]
    [InlineData("bytes=-0", 416, 0, 0)]
    [InlineData("bytes=a-b", 416, 0, 0)]
    [InlineData("lines=0-1", 416, 0, 0)]
    [InlineData("bytes=0-1,3-4", 400, 0, 0)]
    public async Task A_range_is_answered_with(string range, int status, int offset, int length)
    {
        var content = new byte[100000];
        new Random(7).NextBytes(content);
        var id = await app.UploadAsync(content);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
        request.Headers.TryAddWithoutValidation("Range", range);
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        Assert.Equal(status, (int)response.StatusCode);
        if (status == 206)
        {
            Assert.Equal(
                $"bytes {offset}-{offset + length - 1}/100000", response.Content.Headers.ContentRange!.ToString());
            Assert.Equal(
                content[offset..(offset + length)], await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
        }
    }

    [Fact]
    public async Task Bytes_need_formats_and_the_right_media_type_and_a_queued_image()
    {
        using (var created = await app.SendAsync(HttpMethod.Post, "/v2/images", "{}"))
        {
            var bare = (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
            using var refused = await app.PutAsync(bare, [1]);
            Assert.Equal(400, (int)refused.StatusCode);
        }

        var id = await app.CreateAsync();
        using (var text = await app.SendAsync(HttpMethod.Put, $"/v2/images/{id}/file", "x", "text/plain"))
        {
            Assert.Equal(415, (int)text.StatusCode);
        }

        using (var first = await app.PutAsync(id, [1]))
        {
            Assert.Equal(204, (int)first.StatusCode);
        }

        using var second = await app.PutAsync(id, [2]);
        Assert.Equal(409, (int)second.StatusCode);
        using var unknown = await app.PutAsync(Guid.NewGuid().ToString(), [1]);
        Assert.Equal(404, (int)unknown.StatusCode);
    }

    [Theory]
    [InlineData(BackingFile, "backing_file_refused")]
    [InlineData(DataFile, "data_file_refused")]
    [InlineData(UnknownBit, "unknown_feature")]
    [InlineData(AbsurdL1, "table_too_large")]
    [InlineData(SharedCluster, "shared_cluster")]
    public async Task A_hostile_qcow2_is_refused_by_name_and_leaves_nothing(string attack, string reason)
    {
        var id = await app.CreateAsync("qcow2");
        var before = (await app.StoredFilesAsync()).Count;
        using (var refused = await app.PutAsync(id, Hostile(attack)))
        {
            Assert.Equal(415, (int)refused.StatusCode);
            Assert.Equal(reason, Assert.Single(refused.Headers.GetValues("X-Registry-Reason")));
            Assert.Equal(reason, (await RegistryApp.JsonAsync(refused)).GetProperty("reason").GetString());
        }

        var image = await app.ShowAsync(id);
        Assert.Equal("queued", image.GetProperty("status").GetString());
        Assert.Equal(System.Text.Json.JsonValueKind.Null, image.GetProperty("checksum").ValueKind);
        Assert.Equal(before, (await app.StoredFilesAsync()).Count);
        using var none = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}/file");
        Assert.Equal(204, (int)none.StatusCode);

        using var retried = await app.PutAsync(id, Hostile(""));
        Assert.Equal(204, (int)retried.StatusCode);
    }

    [Fact]
    public async Task Of_sixteen_uploads_at_once_one_wins_and_its_bytes_stay()
    {
        var id = await app.CreateAsync();
        var results = await Task.WhenAll(Enumerable.Range(0, 16).Select(async n =>
        {
            using var response = await app.PutAsync(id, Enumerable.Repeat((byte)n, 300000).ToArray());
            return (Status: (int)response.StatusCode, Byte: (byte)n);
        }));
        var winner = Assert.Single(results, r => r.Status == 204);
        Assert.All(results.Where(r => r != winner), r => Assert.Equal(409, r.Status));
        Assert.All(
            await app.Http.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop),
            b => Assert.Equal(winner.Byte, b));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(65536)]
    [InlineData(3 * Mebibyte)]
    public async Task A_client_that_goes_away_leaves_the_image_queued_and_nothing_stored(int sent)
    {
        var id = await app.CreateAsync();
        using (var client = new TcpClient())
        {
            await client.ConnectAsync(app.Url.Host, app.Url.Port, RegistryApp.Stop);
            await client.GetStream().WriteAsync(
                Encoding.ASCII.GetBytes(
                    $"PUT /v2/images/{id}/file HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n" +
                    "Content-Length: 9000000\r\n\r\n"),
                RegistryApp.Stop);
            await client.GetStream().WriteAsync(new byte[sent], RegistryApp.Stop);
            await UntilAsync(id, sent > 0 ? "saving" : "queued"); // an upload begins with its first byte
        }

        await UntilAsync(id, "queued");

        Assert.DoesNotContain(await app.StoredFilesAsync(), file => file.Contains(id, StringComparison.Ordinal));
        using var retried = await app.PutAsync(id, [1]);
        Assert.Equal(204, (int)retried.StatusCode);
    }

    [Fact]
    public async Task An_image_deleted_while_it_is_uploaded_is_gone_for_the_uploader_too()
    {
        var id = await app.CreateAsync();
        using var body = new StreamContent(new GatedStream(async () =>
        {
            await UntilAsync(id, "saving"); // before that there is no upload to lose its image
            using var deleted = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
            Assert.Equal(204, (int)deleted.StatusCode);
        }));
        body.Headers.ContentType = new("application/octet-stream");
        using var response = await app.Http.PutAsync($"/v2/images/{id}/file", body, RegistryApp.Stop);
        Assert.Equal(410, (int)response.StatusCode);
        Assert.DoesNotContain(await app.StoredFilesAsync(), file => file.Contains(id, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("5", 3)]
    [InlineData("3", 5)]
    public async Task A_length_that_is_not_the_stated_one_is_refused(string stated, int sent)
    {
        var id = await app.CreateAsync();
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/v2/images/{id}/file");
        request.Content = new ByteArrayContent(new byte[sent]);
        request.Content.Headers.ContentType = new("application/octet-stream");
        request.Headers.Add("x-openstack-image-size", stated);
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        Assert.Equal(400, (int)response.StatusCode);
        Assert.Equal("queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task An_image_above_the_cap_is_refused_before_and_during_the_upload()
    {
        var id = await app.CreateAsync();
        using (var stated = await app.PutAsync(id, new byte[(64 * Mebibyte) + 1]))
        {
            Assert.Equal(413, (int)stated.StatusCode);
        }

        using var body = new StreamContent(new GatedStream(() => Task.CompletedTask, 65 * Mebibyte));
        body.Headers.ContentType = new("application/octet-stream");
        using var chunked = await app.Http.PutAsync($"/v2/images/{id}/file", body, RegistryApp.Stop);
        Assert.Equal(413, (int)chunked.StatusCode);
        Assert.Equal("queued", (await app.ShowAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task An_empty_image_has_no_range()
    {
        var id = await app.UploadAsync([]);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
        request.Headers.TryAddWithoutValidation("Range", "bytes=-5");
        using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
        Assert.Equal(416, (int)response.StatusCode);
    }

    [Fact]
    public async Task A_format_changed_while_the_upload_starts_never_escapes_the_inspection()
    {
        for (var round = 0; round < 10; round++)
        {
            var id = await app.CreateAsync("qcow2");
            var upload = app.PutAsync(id, Hostile(""));
            var patch = app.PatchAsync(id, """[{"op":"replace","path":"/disk_format","value":"raw"}]""");
            using var uploaded = await upload;
            using var patched = await patch;
            var image = await app.ShowAsync(id);
            Assert.Equal(
                image.GetProperty("disk_format").GetString() == "raw" ? "queued" : "active",
                image.GetProperty("status").GetString());
        }
    }

    // The page is made anew a few times a second only.
    private async Task UntilMetricsShowAsync(string name)
    {
        var page = "";
        for (var look = 0; look < 100 && !page.Contains(name, StringComparison.Ordinal); look++)
        {
            await Task.Delay(50, RegistryApp.Stop);
            page = await app.Http.GetStringAsync(app.Metrics, RegistryApp.Stop);
        }

        Assert.Contains(name, page, StringComparison.Ordinal);
    }

    private async Task UntilAsync(string id, string status)
    {
        while ((await app.ShowAsync(id)).GetProperty("status").GetString() != status)
        {
            await Task.Delay(10, RegistryApp.Stop);
        }
    }

    /// <summary>A qcow2 of 64 KiB clusters: header, refcount table, refcount block, L1, L2, one data cluster; spoilt as
    /// named.</summary>
    private static byte[] Hostile(string attack)
    {
        const int cluster = 65536;
        var image = new byte[6 * cluster];
        var header = image.AsSpan();
        BinaryPrimitives.WriteUInt32BigEndian(header, 0x514649fb);
        BinaryPrimitives.WriteUInt32BigEndian(header[4..], 3);
        BinaryPrimitives.WriteUInt32BigEndian(header[20..], 16);                                    // cluster bits
        BinaryPrimitives.WriteUInt64BigEndian(header[24..], 64 << 20);                              // virtual size
        BinaryPrimitives.WriteUInt32BigEndian(header[36..], attack == AbsurdL1 ? 0xffffffffu : 1u); // L1 entries
        BinaryPrimitives.WriteUInt64BigEndian(header[40..], 3 * cluster);                           // L1
        BinaryPrimitives.WriteUInt64BigEndian(header[48..], cluster);                               // refcount table
        BinaryPrimitives.WriteUInt32BigEndian(header[56..], 1);
        BinaryPrimitives.WriteUInt64BigEndian(
            header[72..], attack switch { DataFile => 4, UnknownBit => 1UL << 40, _ => 0 });
        BinaryPrimitives.WriteUInt32BigEndian(header[96..], 4);                                     // refcount order
        BinaryPrimitives.WriteUInt32BigEndian(header[100..], 104);                                  // header length
        if (attack == BackingFile)
        {
            BinaryPrimitives.WriteUInt64BigEndian(header[8..], 512);
            BinaryPrimitives.WriteUInt32BigEndian(header[16..], 11);
            Encoding.ASCII.GetBytes("/etc/passwd").CopyTo(image, 512);
        }

        BinaryPrimitives.WriteUInt64BigEndian(header[cluster..], 2 * cluster);
        for (var used = 0; used < 6; used++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(header[((2 * cluster) + (2 * used))..], 1);
        }

        BinaryPrimitives.WriteUInt64BigEndian(header[(3 * cluster)..], (4 * cluster) | (1UL << 63));
        for (var entry = 0; entry < (attack == SharedCluster ? 512 : 1); entry++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(header[((4 * cluster) + (8 * entry))..], (5 * cluster) | (1UL << 63));
        }

        header[(5 * cluster)..].Fill(0x5a);
        return image;
    }

    /// <summary>A body of unknown length that does something after its first half.</summary>
    private sealed class GatedStream(Func<Task> halfway, int length = 4 * Mebibyte) : Stream
    {
        private int _position;
        private bool _isOpen;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => _position; set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(
            Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (!_isOpen && _position >= length / 2)
            {
                _isOpen = true;
                await halfway();
            }

            var count = Math.Min(buffer.Length, length - _position);
            buffer.Span[..count].Fill(1);
            _position += count;
            return count;
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
