using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;

namespace Registry.Support;

/// <summary>A post that a receiver was sent.</summary>
/// <param name="Body">The body.</param>
/// <param name="ContentType">Its media type.</param>
/// <param name="Signature">The signature; null when there is none.</param>
/// <param name="Status">What it was answered.</param>
public sealed record ReceivedEvent(byte[] Body, string? ContentType, string? Signature, int Status)
{
    /// <summary>The event.</summary>
    public JsonElement Json { get; } = JsonDocument.Parse(Body).RootElement;

    /// <summary>The event's id.</summary>
    public string Id => Json.GetProperty("id").GetString()!;

    /// <summary>What happened.</summary>
    public string Type => Json.GetProperty("type").GetString()!;

    /// <summary>The image.</summary>
    public string Subject => Json.GetProperty("subject").GetString()!;
}

/// <summary>A receiver of events on a real socket that answers as it is told.</summary>
public sealed class EventReceiver : IAsyncDisposable
{
    private readonly HttpListener _listener = new();
    private readonly ConcurrentQueue<ReceivedEvent> _received = new();
    private readonly Task _serving;

    /// <summary>Starts to receive.</summary>
    /// <param name="port">The port; one that is free when none is given.</param>
    public EventReceiver(int? port = null)
    {
        Port = port ?? Ports.Free();
        _listener.Prefixes.Add($"http://127.0.0.1:{Port}/");
        _listener.Start();
        _serving = ServeAsync();
    }

    /// <summary>The port.</summary>
    public int Port { get; }

    /// <summary>Where events go.</summary>
    public string Url => $"http://127.0.0.1:{Port}/hook";

    /// <summary>The answer to a post, by its event.</summary>
    public Func<JsonElement, int> Answer { get; set; } = _ => 204;

    /// <summary>All posts so far.</summary>
    public IReadOnlyList<ReceivedEvent> Received => [.. _received];

    /// <summary>The events that were taken, of one image, each once.</summary>
    public IReadOnlyList<ReceivedEvent> Taken(string subject) =>
        [.. Received.Where(e => e.Subject == subject && e.Status < 300).DistinctBy(e => e.Id)];

    /// <summary>Waits for an event of an image to be taken.</summary>
    public async Task WaitAsync(string subject, string type, CancellationToken cancellationToken)
    {
        while (!Taken(subject).Any(e => e.Type == type))
        {
            await Task.Delay(20, cancellationToken).ConfigureAwait(false);
        }
    }

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
                await TakeAsync(await _listener.GetContextAsync().ConfigureAwait(false)).ConfigureAwait(false);
            }
        }
        catch (Exception closed) when (closed is HttpListenerException or InvalidOperationException)
        {
            return; // it was disposed
        }
    }

    private async Task TakeAsync(HttpListenerContext context)
    {
        using var response = context.Response;
        using var body = new MemoryStream();
        await context.Request.InputStream.CopyToAsync(body).ConfigureAwait(false);
        using var json = JsonDocument.Parse(body.ToArray());
        response.StatusCode = Answer(json.RootElement);
        if (response.StatusCode is 302 or 307)
        {
            response.RedirectLocation = $"http://127.0.0.1:{Port}/elsewhere";
        }

        _received.Enqueue(new ReceivedEvent(
            body.ToArray(), context.Request.ContentType, context.Request.Headers["X-Registry-Signature-256"],
            context.Request.Url!.AbsolutePath == "/hook" ? response.StatusCode : 0));
    }
}
