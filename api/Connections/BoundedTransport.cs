using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Registry.Api.Connections;

/// <summary>The socket transport, with a bound on the connections that it accepts.</summary>
/// <remarks>The bound is held where connections are accepted: further inside, each of a flood of them would already wait
/// for a thread with a descriptor of its own, and a process without descriptors cannot open its database.</remarks>
internal sealed class BoundedTransport(SocketTransportFactory sockets, OpenConnections connections)
    : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    /// <inheritdoc/>
    public async ValueTask<IConnectionListener> BindAsync(
        EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new Listener(await sockets.BindAsync(endpoint, cancellationToken), connections);

    /// <inheritdoc/>
    public bool CanBind(EndPoint endpoint) => sockets.CanBind(endpoint);

    private sealed class Listener(IConnectionListener sockets, OpenConnections connections) : IConnectionListener
    {
        public EndPoint EndPoint => sockets.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (true)
            {
                var connection = await sockets.AcceptAsync(cancellationToken);
                if (connection is null || connections.TryAdmit(connection))
                {
                    return connection;
                }

                connection.Abort();
                await connection.DisposeAsync();
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default) =>
            sockets.UnbindAsync(cancellationToken);

        public ValueTask DisposeAsync() => sockets.DisposeAsync();
    }
}
