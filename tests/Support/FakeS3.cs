using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security;
using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;

namespace Registry.Support;

/// <summary>What goes wrong with a request.</summary>
public enum S3Fault
{
    /// <summary>Answered with 503 SlowDown.</summary>
    SlowDown,

    /// <summary>Answered with 403 QuotaExceeded, as Ceph does.</summary>
    QuotaExceeded,

    /// <summary>The body breaks off in the middle; the length was promised in full.</summary>
    Truncated,

    /// <summary>One bit of the body is another: of the answer to a read, or of what a write sends.</summary>
    BitFlip,

    /// <summary>No answer, ever.</summary>
    Blackhole,

    /// <summary>The body comes in pieces, with pauses.</summary>
    Slow,

    /// <summary>A write is answered with success and forgotten.</summary>
    Forgotten,
}

/// <summary>A request that the server got.</summary>
/// <param name="Method">GET, PUT, …</param>
/// <param name="Name">Bucket and object.</param>
/// <param name="Range">Its Range header; null without one.</param>
public sealed record S3Request(string Method, string Name, string? Range);

/// <summary>An S3 server in memory whose faults are scripted: for what a real one does not do on demand. It checks no
/// signature and knows no more than the registry asks for.</summary>
public sealed class FakeS3 : IAsyncDisposable
{
    private static readonly TimeSpan SlowPause = TimeSpan.FromMilliseconds(150);
    private const int SlowPieces = 8;

    private readonly ConcurrentDictionary<string, byte[]> _objects = new(StringComparer.Ordinal);
    private readonly List<(string Method, string Ending, S3Fault Fault, int Count)> _faults = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly HttpListener _listener = new();
    private readonly Task _serving;
    private int _writing;

    /// <summary>Starts a server.</summary>
    public FakeS3()
    {
        Endpoint = new Uri($"http://127.0.0.1:{Ports.Free()}");
        _listener.Prefixes.Add(Endpoint.ToString());
        _listener.Start();
        _serving = ServeAsync();
    }

    /// <summary>Its address.</summary>
    public Uri Endpoint { get; }

    /// <summary>Every request so far.</summary>
    public ConcurrentQueue<S3Request> Requests { get; } = new();

    /// <summary>Most writes of objects that were under way at once.</summary>
    public int WritingMax { get; private set; }

    /// <summary>Whether writes are stored without a look at their checksums, and answered without an ETag.</summary>
    public bool IgnoresChecksums { get; set; }

    /// <summary>Whether ETags are digests of something other than the bytes, as those of encrypted objects are.</summary>
    public bool HasForeignTags { get; set; }

    /// <summary>Changes the XML of an answer, a listing or a removal, before it is sent.</summary>
    public Func<string, string> Rewrite { get; set; } = xml => xml;

    /// <summary>How long each write takes at least.</summary>
    public TimeSpan WriteDelay { get; set; }

    /// <summary>Spoils the next requests of a method for objects whose names end in a text.</summary>
    public void Spoil(string method, string ending, S3Fault fault, int count = int.MaxValue)
    {
        lock (_faults)
        {
            _faults.Add((method, ending, fault, count));
        }
    }

    /// <summary>Spoils nothing any more.</summary>
    public void Heal()
    {
        lock (_faults)
        {
            _faults.Clear();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Close();
        await _serving.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task ServeAsync()
    {
        var answers = new List<Task>();
        try
        {
            while (true)
            {
                var context = await _listener.GetContextAsync().ConfigureAwait(false);
                answers.RemoveAll(answer => answer.IsCompleted);
                answers.Add(Task.Run(() => AnswerSafelyAsync(context)));
            }
        }
        catch (Exception closed) when (closed is HttpListenerException or InvalidOperationException)
        {
            await Task.WhenAll(answers).ConfigureAwait(false); // it was disposed
        }
    }

    private async Task AnswerSafelyAsync(HttpListenerContext context)
    {
        try
        {
            await AnswerAsync(context).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is HttpListenerException or ObjectDisposedException or IOException
            or OperationCanceledException)
        {
            context.Response.Abort(); // the client went away, or the test is over
        }
    }

    private async Task AnswerAsync(HttpListenerContext context)
    {
        var request = context.Request;
        var name = Uri.UnescapeDataString(request.Url!.AbsolutePath.TrimStart('/'));
        Requests.Enqueue(new S3Request(request.HttpMethod, name, request.Headers["Range"]));
        var body = await ReadAsync(request.InputStream).ConfigureAwait(false);
        var fault = TakeFault(request.HttpMethod, name);
        switch (fault)
        {
            case S3Fault.SlowDown:
                await ErrorAsync(context, 503, "SlowDown").ConfigureAwait(false);
                return;
            case S3Fault.QuotaExceeded:
                await ErrorAsync(context, 403, "QuotaExceeded").ConfigureAwait(false);
                return;
            case S3Fault.Blackhole:
                await Task.Delay(Timeout.Infinite, _stop.Token).ConfigureAwait(false);
                return;
        }

        switch (request.HttpMethod)
        {
            case "PUT" when name.Contains('/', StringComparison.Ordinal):
                await PutAsync(context, name, body, fault).ConfigureAwait(false);
                break;
            case "POST":
                await RemoveAsync(context, name, body).ConfigureAwait(false);
                break;
            case "GET" when request.QueryString["list-type"] is not null:
                await ListAsync(context, name.TrimEnd('/'), request.QueryString["prefix"] ?? "").ConfigureAwait(false);
                break;
            case "GET":
                await GetAsync(context, name, fault).ConfigureAwait(false);
                break;
            default:
                context.Response.Close(); // the bucket is there
                break;
        }
    }

    private S3Fault? TakeFault(string method, string name)
    {
        lock (_faults)
        {
            var at = _faults.FindIndex(
                f => f.Method == method && f.Count > 0 && name.EndsWith(f.Ending, StringComparison.Ordinal));
            if (at < 0)
            {
                return null;
            }

            _faults[at] = _faults[at] with { Count = _faults[at].Count - 1 };
            return _faults[at].Fault;
        }
    }

    private async Task PutAsync(HttpListenerContext context, string name, byte[] body, S3Fault? fault)
    {
        if (fault == S3Fault.BitFlip && body.Length > 0)
        {
            body[body.Length / 2] ^= 4;
        }

        var md5 = MD5.HashData(body);
        if (!IgnoresChecksums && context.Request.Headers["Content-MD5"] is { } sent && sent != Convert.ToBase64String(md5))
        {
            await ErrorAsync(context, 400, "BadDigest").ConfigureAwait(false);
            return;
        }

        lock (_faults)
        {
            WritingMax = Math.Max(WritingMax, ++_writing);
        }

        await Task.Delay(WriteDelay, _stop.Token).ConfigureAwait(false);
        if (fault != S3Fault.Forgotten)
        {
            _objects[name] = body;
        }

        lock (_faults)
        {
            _writing--;
        }

        if (!IgnoresChecksums)
        {
            var tag = HasForeignTags ? MD5.HashData(md5) : md5;
            context.Response.Headers["ETag"] = $"\"{Convert.ToHexStringLower(tag)}\"";
        }

        context.Response.Close();
    }

    private async Task GetAsync(HttpListenerContext context, string name, S3Fault? fault)
    {
        var response = context.Response;
        if (!_objects.TryGetValue(name, out var content))
        {
            await ErrorAsync(context, 404, "NoSuchKey").ConfigureAwait(false);
            return;
        }

        var ends = context.Request.Headers["Range"]!["bytes=".Length..].Split('-');
        var first = int.Parse(ends[0], CultureInfo.InvariantCulture);
        var last = Math.Min(content.Length - 1, int.Parse(ends[1], CultureInfo.InvariantCulture));
        if (first > last)
        {
            await ErrorAsync(context, 416, "InvalidRange").ConfigureAwait(false);
            return;
        }

        var bytes = content[first..(last + 1)];
        response.StatusCode = 206;
        response.Headers["Content-Range"] = $"bytes {first}-{last}/{content.Length}";
        response.ContentLength64 = bytes.Length;
        if (fault == S3Fault.BitFlip)
        {
            bytes[bytes.Length / 2] ^= 4;
        }

        var output = response.OutputStream;
        if (fault == S3Fault.Truncated)
        {
            await output.WriteAsync(bytes.AsMemory(0, bytes.Length / 2)).ConfigureAwait(false);
            await output.FlushAsync().ConfigureAwait(false);
            await Task.Delay(SlowPause, _stop.Token).ConfigureAwait(false); // what was sent shall arrive
            response.Abort();
            return;
        }

        var piece = fault == S3Fault.Slow ? (bytes.Length / SlowPieces) + 1 : bytes.Length;
        for (var sent = 0; sent < bytes.Length; sent += piece)
        {
            await output.WriteAsync(bytes.AsMemory(sent, Math.Min(piece, bytes.Length - sent))).ConfigureAwait(false);
            await output.FlushAsync().ConfigureAwait(false);
            await Task.Delay(fault == S3Fault.Slow ? SlowPause : TimeSpan.Zero, _stop.Token).ConfigureAwait(false);
        }

        response.Close();
    }

    private async Task RemoveAsync(HttpListenerContext context, string bucket, byte[] body)
    {
        var names = XDocument.Parse(Encoding.UTF8.GetString(body)).Descendants()
            .Where(e => e.Name.LocalName == "Key").Select(e => e.Value);
        foreach (var name in names)
        {
            _objects.TryRemove($"{bucket.TrimEnd('/')}/{name}", out _);
        }

        await WriteAsync(context, 200, Rewrite("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>"))
            .ConfigureAwait(false);
    }

    private Task ListAsync(HttpListenerContext context, string bucket, string prefix)
    {
        var text = new StringBuilder(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated>");
        foreach (var (name, content) in _objects.OrderBy(o => o.Key, StringComparer.Ordinal))
        {
            if (name.StartsWith($"{bucket}/{prefix}", StringComparison.Ordinal))
            {
                text.Append(CultureInfo.InvariantCulture, $"""
                    <Contents><Key>{SecurityElement.Escape(name[(bucket.Length + 1)..])}</Key>
                    <Size>{content.Length}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified>
                    <ETag>x</ETag></Contents>
                    """);
            }
        }

        return WriteAsync(context, 200, Rewrite(text.Append("</ListBucketResult>").ToString()));
    }

    private static Task ErrorAsync(HttpListenerContext context, int status, string code) =>
        WriteAsync(context, status, $"<Error><Code>{code}</Code></Error>");

    private static async Task WriteAsync(HttpListenerContext context, int status, string xml)
    {
        var bytes = Encoding.UTF8.GetBytes(xml);
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/xml";
        context.Response.ContentLength64 = bytes.Length;
        await context.Response.OutputStream.WriteAsync(bytes).ConfigureAwait(false);
        context.Response.Close();
    }

    private static async Task<byte[]> ReadAsync(Stream body)
    {
        using var copy = new MemoryStream();
        await body.CopyToAsync(copy).ConfigureAwait(false);
        return copy.ToArray();
    }
}
