using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>Passes connections on to a server, until it is told to be down.</summary>
public sealed class TcpGate : IAsyncDisposable
{
    private readonly ConcurrentDictionary<Socket, bool> _open = [];
    private readonly Uri _server;
    private readonly TcpListener _listener;
    private readonly Task _accepting;
    private volatile bool _isDown;

    /// <summary>Opens a gate to a server.</summary>
    public TcpGate(Uri server)
    {
        _server = server;
        _listener = new TcpListener(IPAddress.Loopback, 0);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>The gate's own address.</summary>
    public Uri Address => new($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}");

    /// <summary>Cuts all connections, and every new one.</summary>
    public void Down()
    {
        _isDown = true;
        Cut();
    }

    /// <summary>Lets connections pass again.</summary>
    public void Up() => _isDown = false;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        Down();
        await _accepting.ConfigureAwait(false);
        _listener.Dispose();
    }

    private void Cut()
    {
        foreach (var socket in _open.Keys)
        {
            socket.Dispose();
        }
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptSocketAsync().ConfigureAwait(false);
            }
            catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
            {
                return; // the gate was disposed
            }

            if (_isDown)
            {
                client.Dispose();
                continue;
            }

            var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            client.NoDelay = true;
            _open[client] = _open[server] = true;
            _ = PassAsync(client, server);
        }
    }

    private async Task PassAsync(Socket client, Socket server)
    {
        try
        {
            await server.ConnectAsync(_server.Host, _server.Port).ConfigureAwait(false);
            await Task.WhenAny(CopyAsync(client, server), CopyAsync(server, client)).ConfigureAwait(false);
        }
        catch (Exception cut) when (cut is SocketException or ObjectDisposedException)
        {
            // Down, or the server is: the client sees its connection end.
        }

        client.Dispose();
        server.Dispose();
        _open.TryRemove(client, out _);
        _open.TryRemove(server, out _);
    }

    private static async Task CopyAsync(Socket from, Socket to)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (await from.ReceiveAsync(buffer).ConfigureAwait(false) is var length and > 0)
            {
                for (var sent = 0; sent < length;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, length - sent)).ConfigureAwait(false);
                }
            }
        }
        catch (Exception cut) when (cut is SocketException or ObjectDisposedException)
        {
            // One side ended; the other is closed by who waits for us.
        }
    }
}
