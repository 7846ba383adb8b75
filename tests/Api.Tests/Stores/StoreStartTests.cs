using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Registry.Support;

namespace Registry.Api.Tests.Stores;

/// <summary>What the start says of a store that it cannot use, and where keys come from.</summary>
public sealed class StoreStartTests(SharedS3 s3)
{
    [Fact]
    public async Task A_bucket_that_is_not_there_and_a_wrong_key_stop_the_start_with_one_line()
    {
        SharedS3.Require();
        var server = await s3.GetAsync();
        var settings = SharedS3.Settings(0, "s3", server.Endpoint, "no-such-bucket");
        settings["Registry:Stores:0:CreateBucket"] = "false";
        Assert.Equal("Registry:Stores: Store 's3' answered 404 NoSuchBucket.", await RefusalAsync(settings));

        settings["Registry:Stores:0:SecretKey"] = "wrong";
        Assert.Matches("^Registry:Stores: Store 's3' answered 403[ A-Za-z]*\\.$", await RefusalAsync(settings));
    }

    [Fact]
    public async Task Keys_are_read_from_files()
    {
        SharedS3.Require();
        var server = await s3.GetAsync();
        using var directory = new TempDirectory();
        await File.WriteAllTextAsync(directory.File("access"), CephS3.AccessKey + "\n", RegistryApp.Stop);
        await File.WriteAllTextAsync(directory.File("secret"), CephS3.SecretKey + "\n", RegistryApp.Stop);
        var settings = SharedS3.Settings(0, "s3", server.Endpoint, server.NewBucket());
        settings.Remove("Registry:Stores:0:AccessKey");
        settings.Remove("Registry:Stores:0:SecretKey");
        settings["Registry:Stores:0:AccessKeyFile"] = directory.File("access");
        settings["Registry:Stores:0:SecretKeyFile"] = directory.File("secret");
        Assert.Null(await RefusalAsync(settings));

        settings["Registry:Stores:0:SecretKeyFile"] = directory.File("missing");
        Assert.StartsWith(
            "Registry:Stores: store 's3' cannot be opened", await RefusalAsync(settings), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_store_that_is_away_does_not_keep_the_registry_from_starting() =>
        Assert.Null(await RefusalAsync(SharedS3.Settings(0, "s3", new Uri("http://127.0.0.1:1"), "images")));

    [Fact]
    public async Task A_server_that_is_not_an_s3_store_stops_the_start_with_the_stores_name()
    {
        await using var server = new FakeS3 { Rewrite = _ => "<html>It works</html>" };
        Assert.Equal(
            "Registry:Stores: Store 's3' sent an answer that has no element ListBucketResult; check its endpoint "
            + $"'{server.Endpoint.Authority}' and its bucket.",
            await RefusalAsync(SharedS3.Settings(0, "s3", server.Endpoint, "images")));
    }

    [Theory]
    [InlineData("ftp://store.example/", "Registry:Stores:Endpoint of store 's3' is 'ftp://store.example/'")]
    [InlineData("http://u:p@store.example/", "Registry:Stores:Endpoint of store 's3' is '…'")]
    [InlineData("http://store.example/path", "Registry:Stores:Endpoint of store 's3' is 'http://store.example/path'")]
    public async Task A_wrong_endpoint_names_its_store(string endpoint, string message)
    {
        var settings = SharedS3.Settings(0, "s3", new Uri("http://127.0.0.1:1"), "images");
        settings["Registry:Stores:0:Endpoint"] = endpoint;
        Assert.StartsWith(message, await RefusalAsync(settings), StringComparison.Ordinal);
    }

    private static async Task<string?> RefusalAsync(Dictionary<string, string?> settings)
    {
        using var directory = new TempDirectory();
        var builder = WebApplication.CreateBuilder();
        foreach (var name in new[] { "Http", "Grpc", "Metrics" })
        {
            settings[$"Registry:Endpoints:{name}"] = "http://127.0.0.1:0";
        }

        settings["Registry:DataDirectory"] = directory.File("data");
        settings["Logging:LogLevel:Default"] = "None";
        builder.Configuration.AddInMemoryCollection(settings);
        try
        {
            await using var app = RegistryServer.Build(builder);
            await app.StartAsync(RegistryApp.Stop);
            await app.StopAsync(RegistryApp.Stop);
            return null;
        }
        catch (ConfigurationException e)
        {
            return e.Message;
        }
    }
}
