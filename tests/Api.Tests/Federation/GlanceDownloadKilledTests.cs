using System.Net.Http.Json;
using Registry.Api.Tests.Import;
using Registry.Support;

namespace Registry.Api.Tests.Federation;

/// <summary>A registry that is killed amid a takeover from another region.</summary>
public sealed class GlanceDownloadKilledTests : IAsyncLifetime
{
    private const string Token = "token-of-the-owner";

    private readonly ScriptedKeystone _keystone = new();
    private readonly OtherRegion _region = new();
    private readonly TempDirectory _data = new();

    public ValueTask InitializeAsync()
    {
        _keystone.Add(Token, "u1", "p1", DateTimeOffset.UtcNow.AddHours(1), "member", "reader");
        _keystone.Regions["north"] = _region.Url;
        return default;
    }

    public async ValueTask DisposeAsync()
    {
        await _region.DisposeAsync();
        await _keystone.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task The_next_one_goes_on_with_the_token_that_the_caller_lent()
    {
        var (isFirst, sent) = (true, new TaskCompletionSource());
        _region.Source.Answer = async (head, stream) =>
        {
            if (isFirst && head.Contains("/file ", StringComparison.Ordinal))
            {
                isFirst = false;
                await _region.AnswerAsync(head, stream, breakAfter: 500_000);
                sent.SetResult();
                await Task.Delay(Timeout.Infinite, RegistryApp.Stop);
            }

            await _region.AnswerAsync(head, stream);
        };
        string id;
        await using (var killed = await StartAsync())
        {
            using var created = await killed.Client.PostAsJsonAsync("/v2/images", new { name = "mine" }, RegistryApp.Stop);
            id = (await RegistryApp.JsonAsync(created)).GetProperty("id").GetString()!;
            using var started = await killed.Client.PostAsJsonAsync(
                $"/v2/images/{id}/import",
                new { method = new { name = "glance-download", glance_region = "north", glance_image_id = OtherRegion.ImageId } },
                RegistryApp.Stop);
            started.EnsureSuccessStatusCode();
            await sent.Task.WaitAsync(RegistryApp.Stop);
            await killed.KillAsync();
        }

        await using var next = await StartAsync();
        var task = await ImportTask.EndAsync(next.Client, id);
        Assert.True(task.GetProperty("status").GetString() == "success", $"{task}\n{next.Log}");
        Assert.Equal(_region.Content, await next.Client.GetByteArrayAsync($"/v2/images/{id}/file", RegistryApp.Stop));
    }

    private async Task<RegistryProcess> StartAsync()
    {
        var registry = await RegistryProcess.StartAsync(_data.Path, RegistryApp.Stop, new Dictionary<string, string>
        {
            ["Registry__Auth__Kind"] = "keystone",
            ["Registry__Auth__Keystone__Url"] = _keystone.Url,
            ["Registry__Auth__Keystone__Username"] = "registry",
            ["Registry__Auth__Keystone__Password"] = "secret",
            ["Registry__Import__Methods"] = "glance-download",
            ["Registry__Jobs__Lease"] = "00:00:02",
            ["Registry__Jobs__Poll"] = "00:00:00.1",
            ["Registry__Uploads__Lease"] = "00:00:02",
        });
        registry.Client.DefaultRequestHeaders.Add("X-Auth-Token", Token);
        return registry;
    }
}
