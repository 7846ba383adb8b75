using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Errors;
using Registry.Api.Memory;

namespace Registry.Api.Grpc;

/// <summary>The first middleware of the gRPC port: takes the memory of a call's message, and answers what fails before a
/// call is dispatched in gRPC's own way.</summary>
/// <remarks>A message is read whole, before any code of the call runs, so its memory is taken here.</remarks>
internal sealed partial class GrpcGate(RequestDelegate next, ProcessMemory memory, ILogger<GrpcGate> logger)
{
    private const string NoSuchMethod = "The method does not exist.";

    private const long PlentyBytes = 1L << 30;
    private const int MessageBytesPlenty = 4 << 20; // what gRPC's libraries take by default
    private const int MessageBytesShort = 1 << 20;

    /// <summary>Maximum bytes of a message that is received.</summary>
    /// <param name="budgetBytes">Bytes of the process's memory budget.</param>
    public static int MessageBytes(long budgetBytes) =>
        budgetBytes >= PlentyBytes ? MessageBytesPlenty : MessageBytesShort;

    /// <summary>Runs the middleware.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            using var message = await memory.TakeAsync(
                memory.Requests, MessageBytes(memory.Whole.Bytes), context.RequestAborted);
            await next(context);
            if (context.Response is { HasStarted: false, StatusCode: StatusCodes.Status404NotFound })
            {
                End(context.Response, StatusCode.Unimplemented, NoSuchMethod);
            }
        }
        catch (Exception e) when (!context.Response.HasStarted && !context.RequestAborted.IsCancellationRequested)
        {
            if (Refusals.From(e) is not { } refusal)
            {
                Log.Unhandled(logger, context.Request.Path, e);
                End(context.Response, StatusCode.Internal, "The server failed on this call; its log has the cause.");
                return;
            }

            End(context.Response, ErrorCatalog.Entry(refusal.Code).GrpcStatus, refusal.Message);
            context.Response.Headers[GrpcErrors.Trailer] =
                Convert.ToBase64String(GrpcErrors.Detail(refusal).ToByteArray());
        }
    }

    private static void End(HttpResponse response, StatusCode status, string message)
    {
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = "application/grpc";
        response.Headers["grpc-status"] = ((int)status).ToString(CultureInfo.InvariantCulture);
        response.Headers["grpc-message"] = Uri.EscapeDataString(message);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "{Method} failed")]
        public static partial void Unhandled(ILogger logger, string method, Exception exception);
    }
}
