using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Registry.Api.Memory;

namespace Registry.Api.Connections;

/// <summary>Bounds what connections take.</summary>
internal static class ConnectionServices
{
    // What a client may send before it is read, and what it may leave unread: less where memory is short. An upload that
    // waits for its turn holds that much.
    private const long PlentyBytes = 1L << 30;
    private const int BufferBytes = 256 << 10;
    private const int BufferBytesShort = 64 << 10;
    private const int StreamsShort = 32;

    /// <summary>Adds the limits on connections and on their buffers.</summary>
    public static void AddConnectionLimits(this IServiceCollection services)
    {
        services.AddSingleton(provider =>
        {
            var budget = provider.GetRequiredService<ProcessMemory>().Whole;
            var wanted = provider.GetRequiredService<IOptions<RegistryOptions>>().Value.Limits.Connections;
            return new OpenConnections(
                wanted > 0 ? wanted : ConnectionLimit.Of(FileLimit.Raise(), budget.Bytes), budget);
        });
        services.AddSingleton<SocketTransportFactory>();
        services.AddOptions<SocketTransportOptions>().Configure<ProcessMemory>((sockets, memory) =>
            sockets.MaxReadBufferSize = memory.Whole.Bytes < PlentyBytes ? BufferBytesShort : BufferBytes);
        services.RemoveAll<IConnectionListenerFactory>();
        services.AddSingleton<IConnectionListenerFactory, BoundedTransport>();
        services.AddOptions<KestrelServerOptions>().Configure<ProcessMemory>((kestrel, memory) =>
        {
            var limits = kestrel.Limits;
            var isShort = memory.Whole.Bytes < PlentyBytes;
            limits.MaxRequestBufferSize = isShort ? BufferBytesShort : BufferBytes;
            if (isShort)
            {
                limits.Http2.InitialConnectionWindowSize = BufferBytes;
                limits.Http2.InitialStreamWindowSize = 2 * BufferBytesShort;
                limits.Http2.MaxStreamsPerConnection = StreamsShort;
            }
        });
    }

    /// <summary>Marks a connection as busy while one of its requests is answered. First in the pipeline.</summary>
    public static void UseConnectionLimits(this IApplicationBuilder app) => app.Use(next => async context =>
    {
        using var busy = OpenConnection.Of(context)?.Enter() ?? default;
        await next(context);
    });
}
