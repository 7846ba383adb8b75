using System.Globalization;
using Google.Protobuf;
using Registry.Api.Errors;
using Registry.Api.Memory;

namespace Registry.Api.Grpc;

/// <summary>The first middleware of the gRPC port: takes the memory of a call's message, and answers what fails before a
/// call is dispatched in gRPC's own way.</summary>
/// <remarks>A message is read whole, before any code of the call runs, so its memory is taken here.</remarks>
internal sealed class GrpcGate(RequestDelegate next, ProcessMemory memory)
{
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
                memory.Whole, MessageBytes(memory.Whole.Bytes), context.RequestAborted);
            await next(context);
        }
        catch (Exception e) when (!context.Response.HasStarted && Refusals.From(e) is not null)
        {
            var refusal = Refusals.From(e)!;
            var headers = context.Response.Headers;
            context.Response.ContentType = "application/grpc";
            headers["grpc-status"] = ((int)ErrorCatalog.Entry(refusal.Code).GrpcStatus).ToString(CultureInfo.InvariantCulture);
            headers["grpc-message"] = Uri.EscapeDataString(refusal.Message);
            headers[GrpcErrors.Trailer] = Convert.ToBase64String(GrpcErrors.Detail(refusal).ToByteArray());
        }
    }
}
