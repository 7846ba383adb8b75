using System.Diagnostics;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Registry.Api.Tests.Import;

namespace Registry.Api.Tests.Fairness;

/// <summary>Jobs of one project that take for ever do not hold up those of others, nor the registry's own.</summary>
public sealed class JobTurnTests : IAsyncLifetime
{
    private static readonly TimeSpan Seconds = TimeSpan.FromSeconds(15);
    private readonly WebSource _stalled = new();
    private readonly TaskCompletionSource _end = new();
    private readonly ProjectsApp _app = new() { Settings = { ["Registry:Jobs:Workers"] = "4" } };

    public async ValueTask InitializeAsync()
    {
        _stalled.Answer = async (_, stream) =>
        {
            await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegin"u8.ToArray());
            await stream.FlushAsync();
            await _end.Task;
        };
        await _app.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _end.SetResult();
        await _app.DisposeAsync();
        await _stalled.DisposeAsync();
    }

    [Fact]
    public async Task Downloads_that_stall_do_not_delay_anothers_import()
    {
        using var greedy = _app.As("greedy");
        for (var i = 0; i < 6; i++)
        {
            var stalled = await ProjectsApp.CreateAsync(greedy);
            await ProjectsApp.ImportAsync(greedy, stalled, $$"""{"name":"web-download","uri":"{{_stalled.Url}}"}""");
        }

        await UntilAsync(() => Task.FromResult(_stalled.Connections > 0));
        for (var i = 0; i < 3; i++)
        {
            using var modest = _app.As($"modest {i}");
            var id = await ProjectsApp.CreateAsync(modest);
            (await ProjectsApp.PutAsync(modest, id, new byte[1000], "stage")).Dispose();
            await ProjectsApp.ImportAsync(modest, id, """{"name":"glance-direct"}""");
            await UntilAsync(async () => await ProjectsApp.StatusAsync(modest, id) == "active");
        }

        Assert.InRange(_stalled.Connections, 1, 2); // never more than its share
    }

    [Fact]
    public async Task Workers_that_are_all_busy_do_not_delay_a_scrub()
    {
        for (var i = 0; i < 5; i++)
        {
            using var one = _app.As($"project {i}");
            var id = await ProjectsApp.CreateAsync(one);
            await ProjectsApp.ImportAsync(one, id, $$"""{"name":"web-download","uri":"{{_stalled.Url}}"}""");
        }

        await UntilAsync(() => Task.FromResult(_stalled.Connections == 4));
        using var admin = _app.As("admins", "admin");
        using var asked = await admin.PostAsync(
            "/registry/v1/scrubs", new StringContent("{}", Encoding.UTF8, "application/json"), RegistryApp.Stop);
        Assert.Equal(202, (int)asked.StatusCode);
        var job = (await RegistryApp.JsonAsync(asked)).GetProperty("id").GetString();
        await UntilAsync(async () =>
            (await admin.GetFromJsonAsync<JsonElement>($"/registry/v1/jobs/{job}", RegistryApp.Stop))
                .GetProperty("status").GetString() == "succeeded");
        Assert.Equal(4, _stalled.Connections);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var began = Stopwatch.GetTimestamp(); !await condition();)
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Seconds, "it did not come to that within seconds");
            await Task.Delay(20, RegistryApp.Stop);
        }
    }
}
