using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Memory;

namespace Registry.Api.Tests.Memory;

/// <summary>Uploads that wait for memory hold little of it.</summary>
public sealed class WaitingUploadTests : IAsyncLifetime
{
    private const int Uploads = 8;
    private const long HeldMax = (16 << 10) + (3 * (64 << 10)); // a connection, and blocks that are received, full and parsed

    private readonly RegistryApp _app = new()
    {
        Settings = { ["Registry:Memory:BudgetBytes"] = $"{64 << 20}", ["Registry:Memory:Wait"] = "00:01:00" },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task The_bytes_of_a_waiting_upload_stay_on_the_wire()
    {
        var memory = _app.Services.GetRequiredService<ProcessMemory>();
        var content = new byte[4 << 20];
        List<Task<HttpResponseMessage>> waiting = [];
        using (await memory.TakeAsync(memory.Uploads, memory.Uploads.Bytes, RegistryApp.Stop))
        {
            for (var i = 0; i < Uploads; i++)
            {
                waiting.Add(_app.PutAsync(await _app.CreateAsync(), content));
            }

            while (memory.Waiting < Uploads)
            {
                await Task.Delay(20, RegistryApp.Stop);
            }

            await Task.Delay(TimeSpan.FromSeconds(1), RegistryApp.Stop); // for whatever is still received
            var held = memory.Whole.Taken - memory.Uploads.Bytes;
            Assert.InRange(held, 1, (Uploads + 1) * HeldMax);
        }

        foreach (var answer in await Task.WhenAll(waiting))
        {
            Assert.Equal(204, (int)answer.StatusCode);
            answer.Dispose();
        }
    }
}
