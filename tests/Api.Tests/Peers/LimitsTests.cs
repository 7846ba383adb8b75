using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Registry.Support;

namespace Registry.Api.Tests.Peers;

/// <summary>Keystone's unified limits, set in the real Keystone, on the real Glance and on the registry: the same steps
/// have the same outcomes, and a changed limit counts at the next request.</summary>
/// <remarks>Glance is asked in a full run; else its outcomes are those written down here.</remarks>
public sealed class LimitsTests
{
    private const string Project = "demo1";
    private const int Mebibyte = 1 << 20;

    // What came of each step.
    private static readonly string Expected =
        """
        count: 201 413 201 413; after a deletion 201
        usage: image_size_total 0/100, image_stage_total 0/100, image_count_total 2/2, image_count_uploading 0/100
        uploading: stage 204, stage 413, upload 413; more room: upload 204, stage 204
        usage: image_size_total 1/100, image_stage_total 2/100, image_count_total 3/100, image_count_uploading 2/2
        an import makes room: active; upload 413; active; upload 204
        size: upload 204 204 413; import 413; more room: upload 204 413; after a deletion 204
        stage: 204 204 413; upload 204; more room: 204 413; an import makes room: active 204
        an import that does not fit: 202, queued
        """.ReplaceLineEndings("\n");

    private static readonly string[] Resources =
        ["image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Both_limit_the_same()
    {
        KeystoneServer.Require();
        GlanceServer.Require();
        using var directory = new TempDirectory();
        await using var postgres = await PostgresServer.StartAsync();
        await using var keystone = await KeystoneServer.StartAsync(postgres, Stop);
        var settings = new Dictionary<string, string>(keystone.RegistrySettings())
        {
            ["Registry__Quota__UseKeystoneLimits"] = "true",
            ["Registry__Quota__Region"] = "ours",
        };
        await using var registry = await RegistryProcess.StartAsync(directory.Path, Stop, settings);
        await keystone.AddRegionAsync("ours", registry.Url, Stop);
        await RegisterLimitsAsync(keystone, "ours");
        var token = await keystone.TokenAsync($"{Project}-member", Stop);
        Assert.Equal(Expected, await RunAsync(keystone, "ours", registry.Url, token));
        if (!TestRun.IsFull)
        {
            return;
        }

        await using var glance = await GlanceServer.MakeAsync(
            postgres, new GlanceOptions { Keystone = keystone, LimitsRegion = "stock" }, Stop);
        await RegisterLimitsAsync(keystone, "stock");
        await glance.StartAsync(Stop);
        Assert.Equal(Expected, await RunAsync(keystone, "stock", glance.Url, token));
    }

    private static async Task RegisterLimitsAsync(KeystoneServer keystone, string region)
    {
        foreach (var resource in Resources)
        {
            await keystone.RegisterLimitAsync(region, resource, 100, Stop);
        }
    }

    // The words of what came of each step.
    private static async Task<string> RunAsync(KeystoneServer keystone, string region, Uri url, string token)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = url };
        http.DefaultRequestHeaders.Add("X-Auth-Token", token);
        var said = new List<string>();

        await LimitAsync("image_count_total", 1);
        var first = await CreateAsync();
        var second = await CreateAsync();
        await LimitAsync("image_count_total", 2);
        var third = await CreateAsync();
        var fourth = await CreateAsync();
        await DeleteAsync(first.Id);
        said.Add($"count: {first.Status} {second.Status} {third.Status} {fourth.Status}; " +
            $"after a deletion {(await CreateAsync()).Status}");
        said.Add(await UsageAsync());

        await ClearAsync();
        await LimitAsync("image_count_total", 100);
        await LimitAsync("image_count_uploading", 1);
        var (one, two, three) = (await NewAsync(), await NewAsync(), await NewAsync());
        var uploading = $"uploading: stage {await StageAsync(one)}, stage {await StageAsync(two)}, " +
            $"upload {await UploadAsync(three)}; more room: ";
        await ClearFailedAsync(two, three);
        (two, three) = (await NewAsync(), await NewAsync());
        await LimitAsync("image_count_uploading", 2);
        said.Add($"{uploading}upload {await UploadAsync(three)}, stage {await StageAsync(two)}");
        said.Add(await UsageAsync());
        var imported = await ImportAsync(two);
        await LimitAsync("image_count_uploading", 1);
        var late = await UploadNewAsync();
        said.Add($"an import makes room: {imported}; upload {late}; {await ImportAsync(one)}; " +
            $"upload {await UploadNewAsync()}");

        await ClearAsync();
        await LimitAsync("image_count_uploading", 100);
        await LimitAsync("image_size_total", 1);
        var stored = await NewAsync();
        var size = $"size: upload {await UploadAsync(stored)} {await UploadNewAsync()} {await UploadNewAsync()}; ";
        var staged = await NewAsync();
        await StageAsync(staged);
        size += $"import {await StatusAsync(HttpMethod.Post, $"/v2/images/{staged}/import", Import)}; ";
        await LimitAsync("image_size_total", 2);
        size += $"more room: upload {await UploadNewAsync()} {await UploadNewAsync()}; ";
        await DeleteAsync(stored);
        said.Add($"{size}after a deletion {await UploadNewAsync()}");

        await ClearAsync();
        await LimitAsync("image_size_total", 100);
        await LimitAsync("image_stage_total", 1);
        var waits = await NewAsync();
        var stage = $"stage: {await StageAsync(waits)} {await StageNewAsync()} {await StageNewAsync()}; " +
            $"upload {await UploadNewAsync()}; ";
        await LimitAsync("image_stage_total", 2);
        stage += $"more room: {await StageNewAsync()} {await StageNewAsync()}; ";
        said.Add($"{stage}an import makes room: {await ImportAsync(waits)} {await StageNewAsync()}");

        await ClearAsync();
        await LimitAsync("image_stage_total", 100);
        await LimitAsync("image_size_total", 2);
        await UploadNewAsync();
        var large = await NewAsync();
        await StageAsync(large, 2 * Mebibyte);
        var asked = await StatusAsync(HttpMethod.Post, $"/v2/images/{large}/import", Import);
        said.Add($"an import that does not fit: {asked}, {await EndAsync(large)}");
        await ClearAsync();
        return string.Join('\n', said);

        Task LimitAsync(string resource, int value) => keystone.LimitAsync(region, Project, resource, value, Stop);

        async Task<(int Status, string Id)> CreateAsync()
        {
            using var response = await http.PostAsync(
                "/v2/images", Json("""{"disk_format":"raw","container_format":"bare"}"""), Stop);
            return ((int)response.StatusCode, response.IsSuccessStatusCode
                ? (await response.Content.ReadFromJsonAsync<JsonElement>(Stop)).GetProperty("id").GetString()!
                : "");
        }

        async Task<string> NewAsync() => (await CreateAsync()).Id;

        // In chunks, as the command line clients send: nobody knows the length before.
        async Task<int> PutAsync(string path, int length)
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, path);
            request.Headers.TransferEncodingChunked = true;
            request.Content = new ByteArrayContent(new byte[length]);
            request.Content.Headers.ContentType = new("application/octet-stream");
            using var response = await http.SendAsync(request, Stop);
            return (int)response.StatusCode;
        }

        Task<int> UploadAsync(string id) => PutAsync($"/v2/images/{id}/file", Mebibyte);

        async Task<int> UploadNewAsync() => await UploadAsync(await NewAsync());

        Task<int> StageAsync(string id, int length = Mebibyte) => PutAsync($"/v2/images/{id}/stage", length);

        async Task<int> StageNewAsync() => await StageAsync(await NewAsync());

        async Task<int> StatusAsync(HttpMethod method, string path, string? body = null)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : Json(body) };
            using var response = await http.SendAsync(request, Stop);
            return (int)response.StatusCode;
        }

        Task<int> DeleteAsync(string id) => StatusAsync(HttpMethod.Delete, $"/v2/images/{id}");

        async Task<string> ImportAsync(string id)
        {
            Assert.Equal(202, await StatusAsync(HttpMethod.Post, $"/v2/images/{id}/import", Import));
            return await EndAsync(id);
        }

        async Task<string> EndAsync(string id)
        {
            while (true)
            {
                var image = await http.GetFromJsonAsync<JsonElement>($"/v2/images/{id}", Stop);
                var status = image.GetProperty("status").GetString()!;
                if (status is not ("importing" or "uploading"))
                {
                    return status;
                }

                await Task.Delay(100, Stop);
            }
        }

        // Glance leaves an image that it refused bytes as it was for the moment of the refusal.
        async Task ClearFailedAsync(params string[] ids)
        {
            foreach (var id in ids)
            {
                await DeleteAsync(id);
            }
        }

        async Task ClearAsync()
        {
            var list = await http.GetFromJsonAsync<JsonElement>("/v2/images?limit=1000", Stop);
            foreach (var image in list.GetProperty("images").EnumerateArray())
            {
                Assert.Equal(204, await DeleteAsync(image.GetProperty("id").GetString()!));
            }
        }

        async Task<string> UsageAsync()
        {
            var usage = (await http.GetFromJsonAsync<JsonElement>("/v2/info/usage", Stop)).GetProperty("usage");
            return "usage: " + string.Join(", ", Resources.Select(resource =>
                $"{resource} {usage.GetProperty(resource).GetProperty("usage")}/" +
                $"{usage.GetProperty(resource).GetProperty("limit")}"));
        }
    }

    private const string Import = """{"method":{"name":"glance-direct"}}""";

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");
}
