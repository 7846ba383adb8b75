using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Registry.Api.Errors;
using Registry.Api.Memory;
using Registry.Protos.V1;
using Registry.Storage.Domain;

namespace Registry.Api.Grpc;

/// <summary>Turns what a call threw into a gRPC status with an error detail, from the same table as HTTP.</summary>
internal sealed partial class GrpcErrors(RoomGate room, ProcessMemory memory, ILogger<GrpcErrors> logger) : Interceptor
{
    /// <summary>Trailer that carries a serialised <see cref="ErrorDetail"/>.</summary>
    public const string Trailer = "registry-error-bin";

    /// <inheritdoc/>
    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () =>
        {
            RequireValid(request);
            return continuation(request, context);
        });

    /// <inheritdoc/>
    public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context,
        ClientStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => continuation(new CheckedStream<TRequest>(requestStream), context));

    /// <inheritdoc/>
    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, async () =>
        {
            RequireValid(request);
            await continuation(request, new WatchedStream<TResponse>(responseStream, context, memory.Stalled), context);
            return true;
        });

    /// <inheritdoc/>
    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, async () =>
        {
            await continuation(
                requestStream, new WatchedStream<TResponse>(responseStream, context, memory.Stalled), context);
            return true;
        });

    private static void RequireValid<T>(T message)
    {
        if (message is IMessage fields)
        {
            GrpcFields.Require(fields);
        }
    }

    private async Task<T> GuardAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        try
        {
            room.RequireRoom(context.Method);
            return await call();
        }
        catch (RpcException)
        {
            throw;
        }
        catch (Exception e) when (
            context.CancellationToken.IsCancellationRequested && e is OperationCanceledException or IOException)
        {
            Log.ClientGone(logger, context.Method);
            throw new RpcException(new Status(StatusCode.Cancelled, "The call was cancelled."));
        }
        catch (Exception e)
        {
            var refusal = Refusals.From(e);
            if (refusal is null)
            {
                Log.Unhandled(logger, context.Method, e);
                throw new RpcException(
                    new Status(StatusCode.Internal, "The server failed on this call; its log has the cause."));
            }

            var status = ErrorCatalog.Entry(refusal.Code).GrpcStatus;
            var detail = Detail(refusal);
            Log.Refused(logger, context.Method, status, detail.Reason.Length > 0 ? detail.Reason : detail.Code);
            throw Failure(status, detail);
        }
    }

    /// <summary>What a refusal is to clients.</summary>
    internal static ErrorDetail Detail(RegistryException refusal) => new()
    {
        Code = ErrorCatalog.Entry(refusal.Code).Name,
        Reason = refusal.Reason ?? "",
        Message = refusal.Message,
    };

    /// <summary>A call that was refused.</summary>
    internal static RpcException Failure(StatusCode status, ErrorDetail detail) =>
        new(new Status(status, detail.Message), new Metadata { { Trailer, detail.ToByteArray() } });

    /// <summary>Messages of a client, each checked as it is read.</summary>
    private sealed class CheckedStream<T>(IAsyncStreamReader<T> messages) : IAsyncStreamReader<T>
    {
        public T Current => messages.Current;

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            var hasNext = await messages.MoveNext(cancellationToken);
            if (hasNext)
            {
                RequireValid(messages.Current);
            }

            return hasNext;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "{Method}: the client went away")]
        public static partial void ClientGone(ILogger logger, string method);

        [LoggerMessage(2, LogLevel.Error, "{Method} failed")]
        public static partial void Unhandled(ILogger logger, string method, Exception exception);

        [LoggerMessage(3, LogLevel.Information, "{Method}: {Status} {Reason}")]
        public static partial void Refused(ILogger logger, string method, StatusCode status, string reason);
    }
}
