using System.Net.Http.Json;
using System.Text.Json;
using Minio;
using Minio.DataModel.Args;
using Registry.Support;

namespace Registry.Api.Tests.Locations;

/// <summary>Objects of a real bucket as locations.</summary>
public sealed class BucketLocationTests(SharedS3 s3)
{
    [Fact]
    public async Task A_service_takes_an_object_over_and_nobody_takes_a_blob()
    {
        SharedS3.Require();
        var server = await s3.GetAsync();
        var bucket = server.NewBucket();
        await using var keystone = new ScriptedKeystone();
        var soon = DateTimeOffset.UtcNow.AddHours(1);
        keystone.Add("owner", "u1", "p1", soon, "member", "reader");
        keystone.Add("service", "u2", "services", soon, "service");
        await using var app = new RegistryApp
        {
            Settings = new(SharedS3.Settings(0, "s3", server.Endpoint, bucket))
            {
                ["Registry:Auth:Kind"] = "keystone",
                ["Registry:Auth:Keystone:Url"] = keystone.Url,
                ["Registry:Auth:Keystone:Username"] = "registry",
                ["Registry:Auth:Keystone:Password"] = "secret",
                ["Registry:Jobs:Poll"] = "00:00:00.05",
            },
        };
        await app.InitializeAsync();
        var content = new byte[5_000_001];
        new Random(3).NextBytes(content);
        using var client = new MinioClient().WithEndpoint(server.Endpoint.Authority).WithRegion(CephS3.Region)
            .WithCredentials(CephS3.AccessKey, CephS3.SecretKey).Build();
        await PutAsync(client, bucket, "images/incoming/disk", content);
        await PutAsync(client, bucket, "elsewhere/disk", content);
        var there = $"s3://{server.Endpoint.Authority}/{bucket}/";

        var id = await CreateAsync(app);
        Assert.Equal(403, await AddAsync(app, id, there + "images/incoming/disk", service: false));
        Assert.Equal(400, await AddAsync(app, id, there + "elsewhere/disk", service: true));
        Assert.Equal(400, await AddAsync(app, id, $"s3://{server.Endpoint.Authority}/other/images/x", service: true));
        Assert.Equal(400, await AddAsync(app, id, there.Replace("s3:", "s3+https:", StringComparison.Ordinal) + "images/x", service: true));
        Assert.Equal(202, await AddAsync(app, id, there + "images/incoming/missing", service: true));
        Assert.Equal("queued", await EndAsync(app, id));

        Assert.Equal(202, await AddAsync(app, id, there + "images/incoming/disk", service: true));
        Assert.Equal("active", await EndAsync(app, id));
        using var download = await SendAsync(app, HttpMethod.Get, $"/v2/images/{id}/file", null, service: false);
        Assert.Equal(content, await download.Content.ReadAsByteArrayAsync(RegistryApp.Stop));

        var thief = await CreateAsync(app);
        var blobs = await client.ListObjectsEnumAsync(
                new ListObjectsArgs().WithBucket(bucket).WithPrefix($"images/{id}").WithRecursive(true), RegistryApp.Stop)
            .Select(item => item.Key).ToListAsync(RegistryApp.Stop);
        Assert.NotEmpty(blobs);
        foreach (var blob in blobs)
        {
            Assert.Equal(400, await AddAsync(app, thief, there + blob, service: true));
        }
    }

    private static async Task PutAsync(IMinioClient client, string bucket, string name, byte[] content)
    {
        using var bytes = new MemoryStream(content);
        await client.PutObjectAsync(
            new PutObjectArgs().WithBucket(bucket).WithObject(name).WithStreamData(bytes).WithObjectSize(content.Length),
            RegistryApp.Stop);
    }

    private static async Task<string> CreateAsync(RegistryApp app)
    {
        using var created = await SendAsync(
            app, HttpMethod.Post, "/v2/images", """{"disk_format":"raw","container_format":"bare"}""", service: false);
        return (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
    }

    private static async Task<int> AddAsync(RegistryApp app, string id, string url, bool service)
    {
        using var response = await SendAsync(
            app, HttpMethod.Post, $"/v2/images/{id}/locations", JsonSerializer.Serialize(new { url }), service);
        return (int)response.StatusCode;
    }

    private static async Task<string?> EndAsync(RegistryApp app, string id)
    {
        while (true)
        {
            using var shown = await SendAsync(app, HttpMethod.Get, $"/v2/images/{id}", null, service: false);
            var status = (await shown.Content.ReadFromJsonAsync<JsonElement>(RegistryApp.Stop))
                .GetProperty("status").GetString();
            if (status != "importing")
            {
                return status;
            }

            await Task.Delay(50, RegistryApp.Stop);
        }
    }

    private static async Task<HttpResponseMessage> SendAsync(
        RegistryApp app, HttpMethod method, string path, string? body, bool service)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Add("X-Auth-Token", "owner");
        if (service)
        {
            request.Headers.Add("X-Service-Token", "service");
        }

        if (body is not null)
        {
            request.Content = new StringContent(body, new System.Net.Http.Headers.MediaTypeHeaderValue("application/json"));
        }

        return await app.Http.SendAsync(request, RegistryApp.Stop);
    }
}
