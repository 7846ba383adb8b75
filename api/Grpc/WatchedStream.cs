using Grpc.Core;
using Registry.Api.Auth;
using Registry.Api.Memory;

namespace Registry.Api.Grpc;

/// <summary>A stream of answers whose client is disconnected when it does not take them and memory is short.</summary>
/// <typeparam name="T">The answers.</typeparam>
internal sealed class WatchedStream<T>(IServerStreamWriter<T> stream, ServerCallContext context, StalledClients stalled)
    : IServerStreamWriter<T>
{
    private readonly HttpContext _http = context.GetHttpContext();

    /// <inheritdoc/>
    public WriteOptions? WriteOptions
    {
        get => stream.WriteOptions;
        set => stream.WriteOptions = value;
    }

    /// <inheritdoc/>
    public Task WriteAsync(T message) => WriteAsync(message, CancellationToken.None);

    /// <inheritdoc/>
    public Task WriteAsync(T message, CancellationToken cancellationToken)
    {
        var writing = stream.WriteAsync(message, cancellationToken);
        return writing.IsCompleted
            ? writing
            : stalled.SendAsync(
                Caller.Of(_http).ProjectId, new ValueTask(writing), DataMessages.BytesMax, _http.Abort).AsTask();
    }
}
