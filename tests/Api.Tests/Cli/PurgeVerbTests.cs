using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Registry.Storage.Metadata;
using Registry.Support;

namespace Registry.Api.Tests.Cli;

/// <summary>registry db purge.</summary>
public sealed class PurgeVerbTests
{
    [Fact]
    public async Task Old_rows_go_and_ids_stay_taken()
    {
        using var directory = new TempDirectory();
        var config = directory.File("registry.json");
        var data = directory.File("data");
        await File.WriteAllTextAsync(
            config,
            $$"""
            {
              "Registry": {
                "DataDirectory": "{{data}}",
                "Endpoints": {
                  "Http": "http://127.0.0.1:0", "Grpc": "http://127.0.0.1:0", "Metrics": "http://127.0.0.1:0"
                }
              }
            }
            """,
            RegistryApp.Stop);
        var (old, recent) = ("11111111-2222-4333-8444-000000000001", "11111111-2222-4333-8444-000000000002");
        await ServeAsync(data, async app =>
        {
            foreach (var id in new[] { old, recent })
            {
                await app.CreateAsync(extra: $",\"id\":\"{id}\"");
                using var deleted = await app.SendAsync(HttpMethod.Delete, $"/v2/images/{id}");
                Assert.Equal(204, (int)deleted.StatusCode);
            }

            DateTimeOffset? before = DateTimeOffset.UtcNow.AddDays(-50);
            await using var db = await app.Services.GetRequiredService<IDbContextFactory<RegistryDb>>()
                .CreateDbContextAsync(RegistryApp.Stop);
            await db.Images.Where(i => i.Id == old)
                .ExecuteUpdateAsync(set => set.SetProperty(i => i.DeletedAt, before), RegistryApp.Stop);
        });

        Assert.Equal((1, 0), await PurgeAsync(config));
        Assert.Equal((1, 0), await PurgeAsync(config, "--age", "0", "--rows", "7"));
        await ServeAsync(data, async app =>
        {
            foreach (var id in new[] { old, recent })
            {
                using var again = await app.SendAsync(HttpMethod.Post, "/v2/images", $$"""{"id":"{{id}}"}""");
                Assert.Equal(409, (int)again.StatusCode);
                using var shown = await app.SendAsync(HttpMethod.Get, $"/v2/images/{id}");
                Assert.Equal(404, (int)shown.StatusCode);
            }
        });

        foreach (var wrong in new[] { "--age=-1", "--rows=0" })
        {
            var refused = await RegistryCommandLine.RunAsync("db", "purge", "--config", config, wrong);
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains("--age must be 0 to", refused.Error, StringComparison.Ordinal);
        }
    }

    // In processes of their own: each has the data directory for itself until it ends.
    private static async Task<(int Images, int Jobs)> PurgeAsync(string config, params string[] options)
    {
        var result = await ExternalTool.Require(RegistryProcess.Executable).RunAsync(
            ["db", "purge", "--config", config, "--output=json", .. options], RegistryApp.Stop);
        Assert.True(result.ExitCode == 0, result.Error);
        var purged = JsonDocument.Parse(result.Output).RootElement;
        return (purged.GetProperty("images").GetInt32(), purged.GetProperty("jobs").GetInt32());
    }

    private static async Task ServeAsync(string data, Func<RegistryApp, Task> use)
    {
        var app = new KeptApp(data);
        await app.InitializeAsync();
        await use(app);
        await app.DisposeAsync();
    }

    /// <summary>A registry whose data outlives it.</summary>
    private sealed class KeptApp : RegistryApp
    {
        public KeptApp(string data) => Settings["Registry:DataDirectory"] = data;

        public override async ValueTask DisposeAsync()
        {
            Directory.CreateDirectory(Data); // what it would remove
            await base.DisposeAsync();
        }
    }
}
