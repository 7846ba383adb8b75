using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Registry.Support;

/// <summary>A web server that publishes the files of a directory: GET with ranges, HEAD, 404.</summary>
public sealed class DirectoryServer : IAsyncDisposable
{
    private readonly HttpListener _listener = new();
    private readonly string _root;
    private readonly Task _serving;
    private long _requests;

    /// <summary>Starts to serve.</summary>
    public DirectoryServer(string root)
    {
        _root = root;
        Address = new Uri($"http://127.0.0.1:{Ports.Free()}/blobs/");
        _listener.Prefixes.Add(Address.ToString());
        _listener.Start();
        _serving = ServeAsync();
    }

    /// <summary>What the directory is published as.</summary>
    public Uri Address { get; }

    /// <summary>Requests so far.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _listener.Close();
        await _serving.ConfigureAwait(false);
    }

    private async Task ServeAsync()
    {
        try
        {
            while (true)
            {
                await AnswerAsync(await _listener.GetContextAsync().ConfigureAwait(false)).ConfigureAwait(false);
            }
        }
        catch (Exception closed) when (closed is HttpListenerException or InvalidOperationException)
        {
            return; // it was disposed
        }
    }

    private async Task AnswerAsync(HttpListenerContext context)
    {
        Interlocked.Increment(ref _requests);
        var response = context.Response;
        var path = Path.Combine(_root, context.Request.Url!.AbsolutePath[Address.AbsolutePath.Length..]);
        if (!File.Exists(path))
        {
            response.StatusCode = (int)HttpStatusCode.NotFound;
            response.Close();
            return;
        }

        using var file = File.OpenHandle(path);
        var total = RandomAccess.GetLength(file);
        var (first, last) = (0L, total - 1);
        if (context.Request.Headers["Range"] is { } range)
        {
            var ends = range["bytes=".Length..].Split('-');
            first = long.Parse(ends[0], CultureInfo.InvariantCulture);
            last = Math.Min(last, long.Parse(ends[1], CultureInfo.InvariantCulture));
            response.StatusCode = (int)HttpStatusCode.PartialContent;
            response.Headers["Content-Range"] = $"bytes {first}-{last}/{total}";
        }

        response.ContentLength64 = last + 1 - first;
        if (context.Request.HttpMethod == "GET")
        {
            var buffer = new byte[last + 1 - first];
            await RandomAccess.ReadAsync(file, buffer, first).ConfigureAwait(false);
            await response.OutputStream.WriteAsync(buffer).ConfigureAwait(false);
        }

        response.Close();
    }
}
