using Registry.Api.Memory;
using Registry.Support;

namespace Registry.Api.Tests.Memory;

/// <summary>Clients that do not take what they are sent, while others wait for the memory.</summary>
public sealed class StalledClientsTests : IAsyncLifetime
{
    private const int ImageBytes = 24 << 20;

    private readonly RegistryApp _app = new()
    {
        Settings =
        {
            ["Registry:Memory:BudgetBytes"] = $"{32 << 20}",
            ["Registry:Memory:Wait"] = "00:00:30",
            ["Registry:Memory:Stalled"] = "00:00:00.1",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Theory]
    [InlineData("v2/images/ID/file")]
    [InlineData("registry/v1/images/ID/disk")]
    [InlineData("registry/v1/images/ID/extents")]
    public async Task The_bytes_of_a_stalled_client_are_given_to_those_that_wait(string path)
    {
        var content = new byte[ImageBytes];
        new Random(1).NextBytes(content);
        var url = path.Replace("ID", await _app.UploadAsync(content), StringComparison.Ordinal);
        var stalled = new List<HttpResponseMessage>();
        try
        {
            for (var i = 0; i < 2; i++)
            {
                stalled.Add(await _app.Http.GetAsync(url, HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop));
            }

            var memory = (ProcessMemory)_app.Services.GetService(typeof(ProcessMemory))!;
            var part = path.EndsWith("file", StringComparison.Ordinal) ? memory.Downloads : memory.Disks;
            using var share = await memory.TakeAsync(part, part.Bytes, RegistryApp.Stop);
            await Assert.ThrowsAnyAsync<IOException>(
                async () => await (await stalled[0].Content.ReadAsStreamAsync(RegistryApp.Stop)).CopyToAsync(
                    Stream.Null, RegistryApp.Stop));
        }
        finally
        {
            stalled.ForEach(response => response.Dispose());
        }
    }

    [Fact]
    public async Task A_project_that_waits_for_its_own_part_disconnects_only_its_own_clients()
    {
        var memory = new ProcessMemory(
            new MemorySection { BudgetBytes = 32 << 20, Stalled = TimeSpan.FromMilliseconds(100) }, TimeProvider.System,
            hasProjects: true);
        TaskCompletionSource own = new(), other = new();
        var sending = new[]
        {
            memory.Stalled.SendAsync("other", new ValueTask(other.Task), 0, other.SetCanceled).AsTask(),
            memory.Stalled.SendAsync("own", new ValueTask(own.Task), 0, own.SetCanceled).AsTask(),
        };
        using var half = await memory.TakeAsync(memory.Downloads, "own", memory.Downloads.Bytes / 2, RegistryApp.Stop);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(RegistryApp.Stop);
        var more = memory.TakeAsync(memory.Downloads, "own", 1 << 20, stop.Token).AsTask();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending[1]);
        await Task.Delay(TimeSpan.FromSeconds(2), RegistryApp.Stop); // it waits still, and none of its clients is left
        Assert.False(sending[0].IsCompleted);

        var all = memory.TakeAsync(memory.Downloads, memory.Downloads.Bytes, stop.Token).AsTask();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending[0]);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => more);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => all);
    }

    [Fact]
    public async Task A_client_may_take_its_time_while_nobody_waits()
    {
        var id = await _app.UploadAsync(new byte[ImageBytes]);
        using var slow = await _app.Http.GetAsync(
            $"/v2/images/{id}/file", HttpCompletionOption.ResponseHeadersRead, RegistryApp.Stop);
        await Task.Delay(TimeSpan.FromSeconds(6), RegistryApp.Stop); // longer than a stalled client is given
        await using var body = await slow.Content.ReadAsStreamAsync(RegistryApp.Stop);
        await body.CopyToAsync(Stream.Null, RegistryApp.Stop);
    }
}
