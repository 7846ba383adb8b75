using System.Globalization;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Grpc.Core;
using Registry.Api.Errors;
using Registry.Api.Grpc;
using Registry.Api.Provisioning;
using Registry.Protos.V1;

namespace Registry.Api.Cli;

/// <summary>The registry sends it, over plain HTTP; refusals have the status that gRPC would have.</summary>
internal sealed class RegistryFeed : IDiskFeed, IDisposable
{
    private const int AliveSeconds = 10;
    private const int AliveTries = 3;

    private readonly HttpClient _http;

    /// <summary>Describes a registry; nothing is asked yet.</summary>
    /// <param name="url">Its address.</param>
    /// <param name="token">Identity token; null or empty for none.</param>
    public RegistryFeed(string url, string? token)
    {
        // A redirection would take the token along.
        var handler = new SocketsHttpHandler { ConnectCallback = ConnectAsync, MaxResponseDrainSize = 0, AllowAutoRedirect = false };
        _http = new HttpClient(handler)
        {
            BaseAddress = new Uri(url),
            Timeout = Timeout.InfiniteTimeSpan,
        };
        _http.DefaultRequestHeaders.TryAddWithoutValidation("Accept", "application/x-protobuf, application/json");
        if (!string.IsNullOrEmpty(token))
        {
            _http.DefaultRequestHeaders.TryAddWithoutValidation("X-Auth-Token", token);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="RpcException">The registry refuses, or is away.</exception>
    /// <exception cref="DamagedMessageException">Something was damaged on the way, there or back.</exception>
    public async IAsyncEnumerable<DiskResponse> ReadAsync(
        ReadDiskRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var path = string.Create(
            CultureInfo.InvariantCulture,
            $"/registry/v1/images/{request.ImageId}/extents?size={request.Size}&start={request.Start}&length={request.Length}&checksums=true");
        var (body, hasChecksums) = Open(path, cancellationToken);
        await using var disposal = body;
        await using var closing = cancellationToken.Register(body.Close);
        var messages = new DiskMessageReader(body);
        while (Next(messages, cancellationToken) is { } message)
        {
            if (message.Start is { } start)
            {
                RequireAsked(request, start, hasChecksums || message.HasChecksum);
            }

            yield return message;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    // What the registry answers is what it was asked, as it arrived there.
    private static void RequireAsked(ReadDiskRequest request, DiskStart start, bool hasChecksums)
    {
        var asked = new ReadDiskRequest(request) { Checksums = true };
        if (start.Request is null ? hasChecksums : !start.Request.Equals(asked))
        {
            throw new DamagedMessageException();
        }
    }

    // Closing the connection ends the read, with a failure or as if all had come; it did not break then.
    private static DiskResponse? Next(DiskMessageReader messages, CancellationToken cancellationToken)
    {
        try
        {
            var message = messages.Next();
            if (message is null)
            {
                cancellationToken.ThrowIfCancellationRequested();
            }

            return message;
        }
        catch (RpcException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
    }

    private (Stream Body, bool HasChecksums) Open(string path, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        try
        {
            var response = _http.Send(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return response.IsSuccessStatusCode
                ? (response.Content.ReadAsStream(cancellationToken),
                    response.Headers.Contains(ExtentEndpoints.ChecksumsHeader))
                : throw Refusal(response, cancellationToken);
        }
        catch (HttpRequestException e)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, $"The registry does not answer: {Connection.Why(e)}", e));
        }
    }

    private static RpcException Refusal(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        using (response)
        {
            using var body = new StreamReader(response.Content.ReadAsStream(cancellationToken));
            var text = body.ReadToEnd();
            var reason = response.Headers.TryGetValues(ErrorBody.ReasonHeader, out var values) ? values.First() : "";
            var status = ErrorCatalog.GrpcStatus((int)response.StatusCode);
            var message = ImageApi.Sentence(text) ?? $"It answers {(int)response.StatusCode} {response.ReasonPhrase}.";
            return reason.Length > 0
                ? GrpcErrors.Failure(status, new ErrorDetail { Code = reason, Message = message })
                : new RpcException(new Status(status, message));
        }
    }

    // A socket that was never waited for blocks in the kernel; others wake two threads for each piece that arrives.
    private static ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            // A registry may be silent as long as it likes, but not be gone without a word.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, AliveSeconds);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, AliveSeconds);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, AliveTries);
            socket.Connect(context.DnsEndPoint);
            return new(new NetworkStream(socket, ownsSocket: true));
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
