namespace Registry.Api.Tests.Provisioning;

public sealed class DiskEndpointsTests(RegistryApp app) : DiskEndpointsContract(app), IClassFixture<RegistryApp>;

public sealed class S3DiskEndpointsTests(S3RegistryApp app) : DiskEndpointsContract(app), IClassFixture<S3RegistryApp>;

/// <summary>What a view of a disk must be, whatever keeps the bytes.</summary>
public abstract class DiskEndpointsContract
{
    private readonly RegistryApp app;

    protected DiskEndpointsContract(RegistryApp app)
    {
        app.Require();
        this.app = app;
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task Any_range_of_a_view_is_that_range_of_the_whole(string format)
    {
        var random = new Random(11);
        var content = new byte[4 << 20];
        for (var n = 0; n < 20; n++)
        {
            random.NextBytes(content.AsSpan(random.Next(content.Length - 9000), random.Next(9000)));
        }

        var id = await app.UploadAsync(content);
        var path = $"/registry/v1/images/{id}/disk?format={format}&size=6M";
        var whole = await app.Http.GetByteArrayAsync(path, RegistryApp.Stop);
        if (format == "raw")
        {
            Assert.Equal([.. content, .. new byte[2 << 20]], whole);
        }

        for (var n = 0; n < 50; n++)
        {
            var start = random.Next(whole.Length);
            var end = random.Next(start, whole.Length);
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.Range = new(start, end);
            using var response = await app.Http.SendAsync(request, RegistryApp.Stop);
            Assert.Equal(206, (int)response.StatusCode);
            Assert.Equal(whole[start..(end + 1)], await response.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
        }
    }

    [Theory]
    [InlineData("?format=vmdk", 400)]
    [InlineData("?size=1k", 400)]
    [InlineData("?size=many", 400)]
    [InlineData("?size=99999999999999999999E", 400)]
    [InlineData("?format=qcow2&size=64P", 400)]
    [InlineData("?format=qcow2&cluster_size=3000", 400)]
    [InlineData("?format=qcow2&cluster_size=4M", 400)]
    [InlineData("?format=qcow2&cluster_size=99999999999", 400)]
    [InlineData("?format=qcow2&cluster_size=512&size=1T", 400)]
    [InlineData("?format=qcow2&compat=2", 400)]
    [InlineData("?compat=1.1", 400)]
    [InlineData("?format=raw&cluster_size=64k", 400)]
    [InlineData("?format=qcow2&compat=0.10&cluster_size=4k", 200)]
    [InlineData("", 200)]
    public async Task A_view_is_answered_with(string query, int status)
    {
        var id = await app.UploadAsync(new byte[8192]);
        using var response = await app.SendAsync(HttpMethod.Get, $"/registry/v1/images/{id}/disk{query}");
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task A_view_has_a_length_and_a_tag_before_and_without_its_bytes(string format)
    {
        var id = await app.UploadAsync([.. Enumerable.Range(0, 200_000).Select(i => (byte)(i / 7))]);
        var path = $"/registry/v1/images/{id}/disk?format={format}";
        using var whole = await app.SendAsync(HttpMethod.Get, path);
        var bytes = await whole.Content.ReadAsByteArrayAsync(RegistryApp.Stop);
        using var head = await app.SendAsync(HttpMethod.Head, path);
        Assert.Equal(200, (int)head.StatusCode);
        Assert.Equal(bytes.Length, head.Content.Headers.ContentLength);
        Assert.Equal(["bytes"], head.Headers.AcceptRanges);
        Assert.False(whole.Headers.ETag!.IsWeak);
        Assert.Equal(whole.Headers.ETag, head.Headers.ETag);

        using var same = await AskAsync(path, ("If-None-Match", $"\"other\", W/{whole.Headers.ETag}"));
        Assert.Equal((304, 0L), ((int)same.StatusCode, (await same.Content.ReadAsByteArrayAsync(RegistryApp.Stop)).LongLength));
        Assert.Equal(whole.Headers.ETag, same.Headers.ETag);
        using var other = await AskAsync(path, ("If-None-Match", "\"other\""));
        Assert.Equal(bytes, await other.Content.ReadAsByteArrayAsync(RegistryApp.Stop));

        using var part = await AskAsync(path, ("Range", "bytes=5-9"), ("If-Range", whole.Headers.ETag.ToString()));
        Assert.Equal(206, (int)part.StatusCode);
        Assert.Equal(bytes[5..10], await part.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
        foreach (var condition in new[] { "\"other\"", $"W/{whole.Headers.ETag}", "Wed, 25 Nov 2026 00:00:00 GMT" })
        {
            using var changed = await AskAsync(path, ("Range", "bytes=5-9"), ("If-Range", condition));
            Assert.Equal(200, (int)changed.StatusCode);
            Assert.Equal(bytes, await changed.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
        }

        using var beyond = await AskAsync(path, ("Range", $"bytes={bytes.Length}-"));
        Assert.Equal(416, (int)beyond.StatusCode);
        Assert.Equal($"bytes */{bytes.Length}", beyond.Content.Headers.ContentRange!.ToString());
        using var last = await AskAsync(path, ("Range", "bytes=-1"));
        Assert.Equal(bytes[^1..], await last.Content.ReadAsByteArrayAsync(RegistryApp.Stop));
    }

    [Fact]
    public async Task Views_that_differ_have_tags_that_differ()
    {
        var content = new byte[70_144];
        content[5] = 1;
        var (one, two) = (await app.UploadAsync(content), await app.UploadAsync(new byte[70_144]));
        var tags = new List<string>();
        foreach (var query in new[]
        {
            $"{one}/disk", $"{two}/disk", $"{one}/disk?size=70145", $"{one}/disk?format=qcow2",
            $"{one}/disk?format=qcow2&size=1M", $"{one}/disk?format=qcow2&compat=0.10",
            $"{one}/disk?format=qcow2&cluster_size=4k",
        })
        {
            using var head = await app.SendAsync(HttpMethod.Head, $"/registry/v1/images/{query}");
            tags.Add(head.Headers.ETag!.Tag);
        }

        Assert.Equal(tags.Count, tags.Distinct().Count());
        using var said = await app.SendAsync(HttpMethod.Head, $"/registry/v1/images/{one}/disk?format=raw&size=70144");
        Assert.Equal(tags[0], said.Headers.ETag!.Tag);
    }

    private async Task<HttpResponseMessage> AskAsync(string path, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await app.Http.SendAsync(request, RegistryApp.Stop);
    }
}
