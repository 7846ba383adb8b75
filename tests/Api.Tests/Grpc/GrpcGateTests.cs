using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Registry.Api.Memory;
using Registry.Protos.V1;

namespace Registry.Api.Tests.Grpc;

/// <summary>What fails before a call is dispatched is a gRPC status too.</summary>
public sealed class GrpcGateTests : IAsyncLifetime
{
    private readonly RegistryApp _app = new()
    {
        Settings =
        {
            ["Registry:Memory:BudgetBytes"] = $"{32 << 20}",
            ["Registry:Memory:Wait"] = "00:00:00.2",
        },
    };

    public ValueTask InitializeAsync() => _app.InitializeAsync();

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task A_call_without_memory_for_its_message_is_unavailable_with_a_reason()
    {
        var images = new Protos.V1.Images.ImagesClient(_app.Grpc);
        var memory = _app.Services.GetRequiredService<ProcessMemory>();
        using (await memory.TakeAsync(memory.Requests, long.MaxValue, RegistryApp.Stop))
        {
            var refused = await Assert.ThrowsAsync<RpcException>(
                () => images.ListAsync(new ListImagesRequest(), cancellationToken: RegistryApp.Stop).ResponseAsync);
            Assert.Equal(StatusCode.Unavailable, refused.StatusCode);
            var detail = ErrorDetail.Parser.ParseFrom(refused.Trailers.GetValueBytes("registry-error-bin"));
            Assert.Equal(("busy", ProcessMemory.Reason), (detail.Code, detail.Reason));
        }

        await images.ListAsync(new ListImagesRequest(), cancellationToken: RegistryApp.Stop);
    }

    [Fact]
    public async Task A_message_longer_than_the_limit_is_refused()
    {
        var images = new Protos.V1.Images.ImagesClient(_app.Grpc);
        var refused = await Assert.ThrowsAsync<RpcException>(() => images.ListAsync(
            new ListImagesRequest { Name = new string('x', 1 << 20) }, cancellationToken: RegistryApp.Stop).ResponseAsync);
        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
    }
}
