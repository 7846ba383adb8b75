using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Registry.Support;

/// <summary>Passes connections on to a server and counts what passes, until it is told to be down, or to do
/// worse.</summary>
public sealed class TcpGate : IAsyncDisposable
{
    private readonly ConcurrentDictionary<Socket, bool> _open = [];
    private readonly Uri _server;
    private readonly TcpListener _listener;
    private readonly Task _accepting;
    private volatile bool _isDown;
    private volatile GateFault? _fault;
    private int _timesLeft;
    private long _requests;
    private long _bytes;
    private int _flips;

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

    /// <summary>HTTP requests without a body that passed so far.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Bits turned so far.</summary>
    public int Flips => Volatile.Read(ref _flips);

    /// <summary>Bytes that the server has sent so far, headers and all.</summary>
    public long BytesReceived => Volatile.Read(ref _bytes);

    /// <summary>Cuts all connections, and every new one.</summary>
    public void Down()
    {
        _isDown = true;
        Cut();
    }

    /// <summary>Lets connections pass again, unharmed.</summary>
    public void Up() => (_isDown, _fault) = (false, null);

    /// <summary>Harms connections from now on. Where it matters how one begins, those that are open are cut.</summary>
    public void Harm(GateFault fault)
    {
        _timesLeft = fault.Times;
        _fault = fault;
        if (!fault.Holds && fault.LosesAnswerTo.IsEmpty)
        {
            Cut();
        }
    }

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
            catch (Exception closed) when (closed is SocketException or InvalidOperationException)
            {
                return; // the gate was disposed
            }

            if (_isDown)
            {
                client.Dispose();
                continue;
            }

            client.NoDelay = true;
            if (_fault is { Status: { } status } && Happens())
            {
                _ = AnswerAsync(client, status);
                continue;
            }

            var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            _open[client] = _open[server] = true;
            _ = PassAsync(client, server);
        }
    }

    private async Task PassAsync(Socket client, Socket server)
    {
        try
        {
            await server.ConnectAsync(_server.Host, _server.Port).ConfigureAwait(false);
            var answers = new Answers();
            var count = CountRequests();
            var sent = new Sent { Search = _fault is { FlipRequest: { } flip } ? new RequestFlip.Search(flip) : null };
            await Task.WhenAny(
                CopyAsync(client, server, bytes => Asked(bytes, answers, sent, count)),
                CopyAsync(server, client, bytes => Harmed(bytes, answers))).ConfigureAwait(false);
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

    private static async Task AnswerAsync(Socket client, int status)
    {
        try
        {
            await client.ReceiveAsync(new byte[64 * 1024]).ConfigureAwait(false);
            await client.SendAsync(Encoding.ASCII.GetBytes(
                $"HTTP/1.1 {status} Harmed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).ConfigureAwait(false);
            client.Shutdown(SocketShutdown.Send);
            while (await client.ReceiveAsync(new byte[64 * 1024]).ConfigureAwait(false) > 0)
            {
                // What is still on its way here would turn the answer into a reset.
            }
        }
        catch (SocketException)
        {
            // The client had enough.
        }

        client.Dispose();
    }

    private bool Happens() => Interlocked.Decrement(ref _timesLeft) >= 0;

    // A request without a body ends with its first empty line.
    private Action<ReadOnlySpan<byte>> CountRequests()
    {
        var matched = 0;
        return sent =>
        {
            foreach (var one in sent)
            {
                matched = one == "\r\n\r\n"[matched] ? matched + 1 : one == '\r' ? 1 : 0;
                if (matched == 4)
                {
                    Interlocked.Increment(ref _requests);
                    matched = 0;
                }
            }
        };
    }

    private bool Asked(Span<byte> bytes, Answers answers, Sent sent, Action<ReadOnlySpan<byte>> count)
    {
        count(bytes);
        var from = sent.Length;
        sent.Length += bytes.Length;
        if (_fault is { FlipSentAt: { } flip } && flip >= from && flip < sent.Length && Happens())
        {
            bytes[(int)(flip - from)] ^= 1;
            Interlocked.Increment(ref _flips);
        }

        if (sent.Search?.Pass(bytes, () => _fault is not null && Happens()) == true)
        {
            Interlocked.Increment(ref _flips);
        }

        answers.AreLost |= _fault is { LosesAnswerTo: { Length: > 0 } question }
            && bytes.IndexOf(question.Span) >= 0 && Happens();
        return true;
    }

    // False: cut here.
    private bool Harmed(Span<byte> bytes, Answers answers)
    {
        Interlocked.Add(ref _bytes, bytes.Length);
        var from = answers.Length;
        answers.Length += bytes.Length;
        if (_fault is { FlipAt: { } flip } && flip >= from && flip < answers.Length && Happens())
        {
            bytes[(int)(flip - from)] ^= 1;
            Interlocked.Increment(ref _flips);
        }

        return !answers.AreLost && !(_fault is { CutAfter: { } cut } && answers.Length > cut && Happens());
    }

    private async Task CopyAsync(Socket from, Socket to, Handled handled)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (await from.ReceiveAsync(buffer).ConfigureAwait(false) is var length and > 0)
            {
                while (_fault is { Holds: true } && _open.ContainsKey(from))
                {
                    await Task.Delay(20).ConfigureAwait(false);
                }

                if (!handled(buffer.AsSpan(0, length)))
                {
                    return;
                }

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

    private delegate bool Handled(Span<byte> bytes);

    private sealed class Sent
    {
        public long Length { get; set; }

        public RequestFlip.Search? Search { get; init; }
    }

    private sealed class Answers
    {
        public long Length { get; set; }

        public bool AreLost { get; set; }
    }
}
