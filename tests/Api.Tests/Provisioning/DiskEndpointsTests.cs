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
    [InlineData("", 200)]
    public async Task A_view_is_answered_with(string query, int status)
    {
        var id = await app.UploadAsync(new byte[8192]);
        using var response = await app.SendAsync(HttpMethod.Get, $"/registry/v1/images/{id}/disk{query}");
        Assert.Equal(status, (int)response.StatusCode);
    }
}
