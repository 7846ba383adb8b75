using System.Globalization;
using System.Net;
using Registry.Support;

namespace Registry.Engine.Tests.Oracle;

/// <summary>Serves ranges of one file over HTTP, each after a delay, and counts what is asked of it.</summary>
internal sealed class RangeServer : IAsyncDisposable
{
    private readonly HttpListener listener = new();
    private readonly string path;
    private readonly TimeSpan delay;
    private readonly Task serving;
    private long requests;
    private long bytes;

    public RangeServer(string path, TimeSpan delay)
    {
        this.path = path;
        this.delay = delay;
        Address = new Uri($"http://127.0.0.1:{Ports.Free()}/");
        listener.Prefixes.Add(Address.ToString());
        listener.Start();
        serving = ServeAsync();
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>Requests so far.</summary>
    public long Requests => Interlocked.Read(ref requests);

    /// <summary>Bytes of bodies so far.</summary>
    public long Bytes => Interlocked.Read(ref bytes);

    public async ValueTask DisposeAsync()
    {
        listener.Close();
        await serving;
    }

    private async Task ServeAsync()
    {
        var answers = new List<Task>();
        try
        {
            while (true)
            {
                var context = await listener.GetContextAsync();
                answers.RemoveAll(static answer => answer.IsCompletedSuccessfully);
                answers.Add(Task.Run(() => AnswerAsync(context)));
            }
        }
        catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
        {
            await Task.WhenAll(answers); // it was closed
        }
    }

    private async Task AnswerAsync(HttpListenerContext context)
    {
        Interlocked.Increment(ref requests);
        await Task.Delay(delay);
        var range = context.Request.Headers["Range"]!["bytes=".Length..].Split('-');
        var (first, last) = (
            long.Parse(range[0], CultureInfo.InvariantCulture), long.Parse(range[1], CultureInfo.InvariantCulture));
        using var file = File.OpenHandle(path);
        var buffer = new byte[last + 1 - first];
        var length = await RandomAccess.ReadAsync(file, buffer, first);
        context.Response.StatusCode = (int)HttpStatusCode.PartialContent;
        context.Response.ContentLength64 = length;
        Interlocked.Add(ref bytes, length);
        await context.Response.OutputStream.WriteAsync(buffer.AsMemory(0, length));
        context.Response.Close();
    }
}
