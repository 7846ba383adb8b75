using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Registry.Api.Tests.Import;

/// <summary>A web server that answers as it is told, connection by connection, and counts them.</summary>
public sealed class WebSource : IAsyncDisposable
{
    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _serving;
    private int _connections;

    /// <summary>Listens.</summary>
    /// <param name="address">Where.</param>
    /// <param name="port">The port; 0 for any.</param>
    public WebSource(IPAddress? address = null, int port = 0)
    {
        _listener = new TcpListener(address ?? IPAddress.Loopback, port);
        _listener.Start();
        _serving = ServeAsync();
    }

    /// <summary>Connections so far.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Heads of the requests so far.</summary>
    public List<string> Requests { get; } = [];

    /// <summary>The port.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>The address of everything it has.</summary>
    public string Url => $"http://{_listener.LocalEndpoint}/image";

    /// <summary>Answers a request: its head, and where to write to. The connection is closed afterwards.</summary>
    public Func<string, Stream, Task> Answer { get; set; } = (_, _) => Task.CompletedTask;

    /// <summary>Answers every request with these bytes, whole or the part that is asked for.</summary>
    /// <param name="content">The bytes.</param>
    /// <param name="tag">Their entity tag; null for none.</param>
    /// <param name="breakAfter">Closes the connection after so many bytes of an answer; null for never.</param>
    /// <param name="hasRanges">Whether it knows of parts.</param>
    public void Serve(byte[] content, string? tag = "\"one\"", int? breakAfter = null, bool hasRanges = true) =>
        Answer = async (head, stream) =>
        {
            var range = Header(head, "Range")?["bytes=".Length..].Split('-');
            var isPart = hasRanges && range is not null && (Header(head, "If-Range") ?? tag) == tag;
            var from = isPart ? int.Parse(range![0]) : 0;
            var end = isPart && range![1].Length > 0 ? Math.Min(int.Parse(range[1]) + 1, content.Length) : content.Length;
            var lines = new StringBuilder(isPart ? "HTTP/1.1 206 Partial Content\r\n" : "HTTP/1.1 200 OK\r\n");
            lines.Append($"Content-Length: {end - from}\r\n");
            lines.Append(tag is null ? "" : $"ETag: {tag}\r\n");
            lines.Append(isPart ? $"Content-Range: bytes {from}-{end - 1}/{content.Length}\r\n" : "");
            await stream.WriteAsync(Encoding.ASCII.GetBytes(lines + "Connection: close\r\n\r\n"));
            await stream.WriteAsync(content.AsMemory(from, Math.Min(end - from, breakAfter ?? int.MaxValue)));
        };

    /// <summary>Answers every request with a redirect.</summary>
    public void Redirect(int status, string location) => Answer = (_, stream) => stream.WriteAsync(Encoding.ASCII.GetBytes(
        $"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).AsTask();

    /// <summary>A header's value; null when it is not there.</summary>
    public static string? Header(string head, string name) =>
        head.Split("\r\n").FirstOrDefault(line => line.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase))
            ?[(name.Length + 1)..].Trim();

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task ServeAsync()
    {
        while (true)
        {
            var client = await _listener.AcceptTcpClientAsync(_stop.Token);
            Interlocked.Increment(ref _connections);
            _ = ServeAsync(client);
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var connection = client;
        try
        {
            var stream = client.GetStream();
            var head = new StringBuilder();
            var buffer = new byte[4096];
            while (!head.ToString().Contains("\r\n\r\n", StringComparison.Ordinal))
            {
                var read = await stream.ReadAsync(buffer, _stop.Token);
                if (read == 0)
                {
                    return;
                }

                head.Append(Encoding.ASCII.GetString(buffer, 0, read));
            }

            lock (Requests)
            {
                Requests.Add(head.ToString());
            }

            await Answer(head.ToString(), stream);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or SocketException)
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"web source: {e.Message}");
        }
    }
}
