using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using DotNet.Testcontainers.Builders;
using Registry.Support;
using Testcontainers.PostgreSql;

namespace Registry.Containers.Tests;

/// <summary>The registry on this machine over PostgreSQL and S3 in containers, as others run them.</summary>
public sealed class ServerContainersTests(ContainerImages images)
{
    private const string AccessKey = "containeraccess";
    private const string SecretKey = "containersecret";
    private const int S3Port = 9000;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Bytes_go_in_and_out_and_are_gone_when_deleted()
    {
        await images.VariablesAsync();
        await using var database = new PostgreSqlBuilder(await images.FindAsync("POSTGRES_IMAGE", "postgres:17"))
            .WithUsername("registry").WithPassword("p w'd").WithDatabase("registry").Build();
        await using var s3 = new ContainerBuilder(await images.FindAsync("S3_IMAGE", "versity/versitygw:v1.8.0"))
            .WithEnvironment("ROOT_ACCESS_KEY", AccessKey).WithEnvironment("ROOT_SECRET_KEY", SecretKey)
            .WithEnvironment("VGW_BACKEND", "posix").WithEnvironment("VGW_BACKEND_ARG", "/tmp")
            .WithEnvironment("VGW_PORT", $":{S3Port}")
            .WithPortBinding(S3Port, assignRandomHostPort: true)
            .WithWaitStrategy(Wait.ForUnixContainer().UntilHttpRequestIsSucceeded(request =>
                request.ForPort(S3Port).ForStatusCodeMatching(_ => true)))
            .Build();
        await Task.WhenAll(database.StartAsync(Stop), s3.StartAsync(Stop));

        using var directory = new TempDirectory();
        var settings = new Dictionary<string, string?>
        {
            ["Registry__Database__Kind"] = "postgres",
            ["Registry__Database__ConnectionString"] = database.GetConnectionString(),
            ["Registry__Stores__0__Id"] = "bucket",
            ["Registry__Stores__0__Kind"] = "s3",
            ["Registry__Stores__0__Endpoint"] = $"http://127.0.0.1:{s3.GetMappedPublicPort(S3Port)}",
            ["Registry__Stores__0__Bucket"] = "images",
            ["Registry__Stores__0__CreateBucket"] = "true",
            ["Registry__Stores__0__AccessKey"] = AccessKey,
            ["Registry__Stores__0__SecretKey"] = SecretKey,
        };
        var upgraded = await ExternalTool.Require(RegistryProcess.Executable).RunAsync(["db", "upgrade"], Stop, settings);
        Assert.True(upgraded.ExitCode == 0, upgraded.Error);
        await using var registry = await RegistryProcess.StartAsync(directory.Path, Stop, settings!);

        // More than one segment, and not a whole number of blocks.
        var bytes = RandomNumberGenerator.GetBytes((50 << 20) + 12345);
        using var created = await registry.Client.PostAsJsonAsync(
            "/v2/images", new { name = "container", disk_format = "raw", container_format = "bare" }, Stop);
        var id = (await created.Content.ReadFromJsonAsync<JsonElement>(Stop)).GetProperty("id").GetString();
        using var content = new ByteArrayContent(bytes);
        content.Headers.ContentType = new("application/octet-stream");
        using var uploaded = await registry.Client.PutAsync($"/v2/images/{id}/file", content, Stop);
        Assert.Equal(HttpStatusCode.NoContent, uploaded.StatusCode);
        Assert.Equal(bytes, await registry.Client.GetByteArrayAsync($"/v2/images/{id}/file", Stop));

        using var deleted = await registry.Client.DeleteAsync($"/v2/images/{id}", Stop);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        using var gone = await registry.Client.GetAsync($"/v2/images/{id}/file", Stop);
        Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        Assert.DoesNotContain(SecretKey, registry.Log, StringComparison.Ordinal);
        await registry.StopAsync();
    }
}
