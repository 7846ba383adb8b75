using System.Net.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Errors;
using Registry.Api.Memory;
using Registry.Storage.Memory;

namespace Registry.Api.Tests.Memory;

/// <summary>Where the memory for buffers is used up, requests wait for a bounded time and are asked to come back; those
/// that carry no image data are served all the same.</summary>
public sealed class MemoryLimitTests : IAsyncLifetime
{
    private const long BudgetBytes = 32 << 20;
    private const int LargeBytes = 60_000;
    private readonly RegistryApp _app = new()
    {
        Settings =
        {
            ["Registry:Memory:BudgetBytes"] = $"{BudgetBytes}",
            ["Registry:Memory:Wait"] = "00:00:00.2",
        },
    };

    private ProcessMemory Memory => _app.Services.GetRequiredService<ProcessMemory>();

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task Every_way_to_move_image_data_answers_503_and_a_list_is_served_meanwhile()
    {
        var (stored, queued) = (await _app.UploadAsync(new byte[100_000]), await _app.CreateAsync());
        using (await FillAsync(Memory.Disks))
        using (await FillAsync(Memory.Uploads, Memory.Whole.Bytes / 4))
        {
            foreach (var (method, path) in new[]
            {
                ("PUT", $"/v2/images/{queued}/file"), ("PUT", $"/v2/images/{queued}/stage"),
                ("GET", $"/v2/images/{stored}/file"), ("GET", $"/registry/v1/images/{stored}/disk"),
                ("GET", $"/registry/v1/images/{stored}/extents"), ("GET", $"/registry/v1/images/{stored}/map"),
            })
            {
                using var request = new HttpRequestMessage(new HttpMethod(method), path);
                if (method == "PUT")
                {
                    request.Content = new ByteArrayContent(new byte[10]);
                    request.Content.Headers.ContentType = new("application/octet-stream");
                }

                using var answer = await _app.Http.SendAsync(request, RegistryApp.Stop);
                Assert.True((int)answer.StatusCode == 503, $"{method} {path}: {answer.StatusCode}");
                Assert.Equal(ProcessMemory.Reason, answer.Headers.GetValues(ErrorBody.ReasonHeader).Single());
                Assert.NotNull(answer.Headers.RetryAfter);
            }

            using var list = await _app.Http.GetAsync("/v2/images", RegistryApp.Stop);
            Assert.Equal(200, (int)list.StatusCode);
            Assert.Equal("queued", (await _app.ShowAsync(queued)).GetProperty("status").GetString());
        }

        using var taken = await _app.PutAsync(queued, new byte[10]);
        Assert.Equal(204, (int)taken.StatusCode);
        await UntilFreeAsync();
    }

    [Fact]
    public async Task A_large_JSON_body_waits_for_memory_and_a_small_one_does_not()
    {
        using (await FillAsync(Memory.Requests))
        {
            await _app.CreateAsync();
            using var small = await PostInPartsAsync("""{"name":"n"}""");
            Assert.Equal(201, (int)small.StatusCode);
            using var unstated = await PostInPartsAsync($$"""{"name":"n","large":"{{new string('x', LargeBytes)}}"}""");
            Assert.Equal(503, (int)unstated.StatusCode);
            using var refused = await _app.SendAsync(
                HttpMethod.Post, "/v2/images", $$"""{"name":"n","large":"{{new string('x', LargeBytes)}}"}""");
            Assert.Equal(503, (int)refused.StatusCode);
        }

        await _app.CreateAsync(extra: $",\"large\":\"{new string('x', LargeBytes)}\"");
        await UntilFreeAsync();
    }

    [Fact]
    public async Task A_list_of_images_with_large_properties_comes_whole_and_in_order()
    {
        var many = string.Concat(Enumerable.Range(0, 10).Select(n => $",\"p{n}\":\"{new string('x', LargeBytes)}\""));
        var ids = new List<string>();
        for (var i = 0; i < 12; i++)
        {
            ids.Add(await _app.CreateAsync(extra: i % 3 == 0 ? many : ",\"p0\":\"y\""));
        }

        ids.Reverse(); // the newest comes first
        using var answer = await _app.Http.GetAsync("/v2/images?limit=12", RegistryApp.Stop);
        var images = (await RegistryApp.JsonAsync(answer)).GetProperty("images").EnumerateArray().ToList();
        Assert.Equal(ids, images.Select(image => image.GetProperty("id").GetString()));
        Assert.Equal(4, images.Count(image => image.TryGetProperty("p9", out var p) && p.GetString()!.Length == LargeBytes));
        Assert.All(images, image => Assert.True(image.TryGetProperty("p0", out _)));
        await UntilFreeAsync();
    }

    [Fact]
    public async Task A_client_that_goes_away_leaves_no_memory_behind()
    {
        var id = await _app.UploadAsync(new byte[8 << 20]);
        for (var i = 0; i < 5; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/images/{id}/file");
            request.Headers.Range = new RangeHeaderValue(i, null);
            using var answer = await _app.Http.SendAsync(
                request, HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
            Assert.Equal(206, (int)answer.StatusCode);
        }

        await UntilFreeAsync();
    }

    // Without saying how long it is.
    private Task<HttpResponseMessage> PostInPartsAsync(string json)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/v2/images")
        {
            Content = new StringContent(json, System.Text.Encoding.UTF8, "application/json"),
        };
        request.Headers.TransferEncodingChunked = true;
        return _app.Http.SendAsync(request, RegistryApp.Stop);
    }

    // All that a part may have, or so much of it.
    private static async Task<MemoryShare> FillAsync(MemoryBudget part, long bytes = long.MaxValue)
    {
        bytes = Math.Min(bytes, part.Bytes - part.Taken);
        return Assert.IsType<MemoryShare>(
            await part.TakeAsync(bytes, TimeSpan.FromSeconds(5), TimeProvider.System, RegistryApp.Stop));
    }

    // Connections that are kept alive are charged for; nothing else is.
    private async Task UntilFreeAsync()
    {
        const long connectionBytes = 16 << 10;
        while (Memory.Whole.Taken > 16 * connectionBytes || Memory.Uploads.Taken + Memory.Downloads.Taken + Memory.Disks.Taken > 0)
        {
            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
