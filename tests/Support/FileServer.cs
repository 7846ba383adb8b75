using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Registry.Support;

/// <summary>A plain web server for the files of a directory: GET with one range, a strong entity tag, connections that stay
/// open. It costs little beside what is measured.</summary>
public sealed class FileServer : IAsyncDisposable
{
    private const int BufferBytes = 1 << 20;
    private const int HeadBytesMax = 16 << 10;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _connections = [];
    private readonly string _directory;
    private readonly TimeSpan _delay;
    private readonly Task _serving;
    private long _requests;
    private long _bytes;

    /// <summary>Starts to serve.</summary>
    /// <param name="directory">Where the files are.</param>
    /// <param name="delay">What each answer takes longer.</param>
    public FileServer(string directory, TimeSpan delay = default)
    {
        (_directory, _delay) = (directory, delay);
        _listener.Start();
        _serving = ServeAsync();
    }

    /// <summary>The port.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Requests so far.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <summary>Bytes of bodies so far.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>The address of a file.</summary>
    public Uri UrlOf(string name) => new($"http://127.0.0.1:{Port}/{name}");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Task.WhenAll(_connections).ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task ServeAsync()
    {
        while (true)
        {
            var client = await _listener.AcceptSocketAsync(_stop.Token).ConfigureAwait(false);
            _connections.RemoveAll(static connection => connection.IsCompletedSuccessfully);
            _connections.Add(Task.Run(() => ServeAsync(client)));
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using var connection = client;
        client.NoDelay = true;
        try
        {
            var buffer = new byte[BufferBytes];
            while (await ReadHeadAsync(client).ConfigureAwait(false) is { } head)
            {
                await AnswerAsync(client, head, buffer).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // The client is gone, or we are.
        }
    }

    private async Task<string?> ReadHeadAsync(Socket client)
    {
        var bytes = new byte[HeadBytesMax];
        for (var filled = 0; filled < bytes.Length;)
        {
            var read = await client.ReceiveAsync(bytes.AsMemory(filled), _stop.Token).ConfigureAwait(false);
            if (read == 0)
            {
                return null;
            }

            filled += read;
            if (bytes.AsSpan(0, filled).EndsWith("\r\n\r\n"u8))
            {
                return Encoding.ASCII.GetString(bytes, 0, filled);
            }
        }

        return null;
    }

    private async Task AnswerAsync(Socket client, string head, byte[] buffer)
    {
        Interlocked.Increment(ref _requests);
        if (_delay > TimeSpan.Zero)
        {
            await Task.Delay(_delay, _stop.Token).ConfigureAwait(false);
        }

        using var file = File.OpenHandle(Path.Combine(_directory, Path.GetFileName(head.Split(' ')[1])));
        var total = RandomAccess.GetLength(file);
        var (first, end) = (0L, total);
        const string range = "\r\nRange: bytes=";
        var at = head.IndexOf(range, StringComparison.OrdinalIgnoreCase);
        if (at >= 0)
        {
            var ends = head[(at + range.Length)..head.IndexOf("\r\n", at + 2, StringComparison.Ordinal)].Split('-');
            first = long.Parse(ends[0], CultureInfo.InvariantCulture);
            end = ends[1].Length > 0 ? Math.Min(total, long.Parse(ends[1], CultureInfo.InvariantCulture) + 1) : total;
        }

        await SendAsync(client, Encoding.ASCII.GetBytes(
            (at >= 0
                ? $"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{end - 1}/{total}\r\n"
                : "HTTP/1.1 200 OK\r\n")
            + $"ETag: \"{total}\"\r\nContent-Length: {end - first}\r\n\r\n")).ConfigureAwait(false);
        while (first < end)
        {
            var read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - first)), first);
            await SendAsync(client, buffer.AsMemory(0, read)).ConfigureAwait(false);
            Interlocked.Add(ref _bytes, read);
            first += read;
        }
    }

    private async Task SendAsync(Socket client, ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[await client.SendAsync(bytes, _stop.Token).ConfigureAwait(false)..];
        }
    }
}
