using System.IO.Pipelines;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Auth;
using Registry.Api.Errors;
using Registry.Api.Grpc;
using Registry.Api.Memory;
using Registry.Api.Metrics;
using Registry.Api.Versions;
using Registry.Protos.V1;

namespace Registry.Api.Provisioning;

/// <summary>/registry/v1/images/{id}/extents?size=&amp;start=&amp;length=: the messages of gRPC's ReadDisk over plain HTTP,
/// each behind its length. HTTP/2's frames of 16 KiB and gRPC's copies cost both sides more than the rest of the way.
/// </summary>
internal static partial class ExtentEndpoints
{
    /// <summary>The answer's type.</summary>
    public const string MediaType = "application/x-protobuf; type=registry.v1.DiskResponse; delimited=true";

    /// <summary>Header of every answer: the registry sends checksums where they are asked for.</summary>
    public const string ChecksumsHeader = "Registry-Checksums";

    private const int LengthBytesMax = 5;

    /// <summary>Messages are handed to the connection together, such a part of a read at a time: little where readers are
    /// many.</summary>
    private const int PartsOfARange = 32;

    /// <summary>Lists the route.</summary>
    public static void MapExtents(this IEndpointRouteBuilder v1) =>
        v1.MapGet("/images/{id}/extents", ReadAsync)
            .AddEndpointFilter(RequestBody.Refuse)
            .Describe(
                "The disk's allocated content: messages as of gRPC's ReadDisk, each behind its length as a varint.",
                "size: of the disk, e.g. 12G", "start: first guest byte wanted, such as a checkpoint's",
                "length: guest bytes wanted", "checksums: true for a checksum of every message");

    // What fails before the first message is an answer like any other; what fails later is the last message.
    private static async Task ReadAsync(
        HttpContext context, string id, StoredDisks disks, ReadShares shares, ProcessMemory memory,
        RegistryMetrics metrics, ILogger<StoredDisk> logger)
    {
        using var span = RegistryMetrics.Traces.StartActivity("provision");
        span?.SetTag("image.id", id);
        var cancellation = context.RequestAborted;
        var request = Read(id, context.Request.Query);
        await using var reading = await shares.OpenAsync(
            () => disks.OpenAsync(Caller.Of(context), id, cancellation), cancellation,
            projectId: Caller.Of(context).ProjectId);
        var stored = reading.Open;
        var size = stored.SizeFor(request.Size == 0 ? null : request.Size);
        var messages = DiskMessages.ReadAsync(
            stored.Disk, size, request, reading.Share, DataMessages.BytesMax, () => stored.Blob.BytesRead, cancellation);
        var response = context.Response;
        response.ContentType = MediaType;
        response.Headers[ChecksumsHeader] = "xxh3";
        var (waiting, most) = (0, 0);
        try
        {
            await foreach (var message in messages)
            {
                if (message.End is { } end)
                {
                    metrics.Provisioned(end.BytesSent);
                }

                Write(response.BodyWriter, message);
                waiting += message.Data?.Data.Length ?? most;
                if (waiting >= most)
                {
                    await memory.Stalled.SendAsync(
                        Caller.Of(context).ProjectId, FlushAsync(response.BodyWriter, cancellation), waiting, context.Abort);
                    (waiting, most) = (0, reading.Share.Options.MaxRangeBytes / PartsOfARange);
                }
            }
        }
        catch (Exception e) when (response.HasStarted && !cancellation.IsCancellationRequested)
        {
            var failure = new DiskResponse { Failure = Failure(context, logger, e) };
            Write(response.BodyWriter, request.Checksums ? WireChecksum.Seal(failure) : failure);
        }
    }

    private static async ValueTask FlushAsync(PipeWriter body, CancellationToken cancellationToken) =>
        await body.FlushAsync(cancellationToken);

    private static DiskFailure Failure(HttpContext context, ILogger logger, Exception exception)
    {
        if (Refusals.From(exception) is { } refusal)
        {
            var status = ErrorCatalog.Entry(refusal.Code).GrpcStatus;
            Log.Refused(logger, context.Request.Path, status, refusal.Message);
            return new DiskFailure { Status = (int)status, Error = GrpcErrors.Detail(refusal) };
        }

        Log.Unhandled(logger, context.Request.Path, exception);
        var message = $"The server failed on this request; its log has the cause under {context.TraceIdentifier}.";
        return new DiskFailure { Status = (int)StatusCode.Internal, Error = new ErrorDetail { Message = message } };
    }

    private static ReadDiskRequest Read(string id, IQueryCollection query) => new()
    {
        ImageId = id,
        Size = DiskView.Bytes(query, "size") ?? 0,
        Start = DiskView.Bytes(query, "start") ?? 0,
        Length = DiskView.Bytes(query, "length") ?? 0,
        Checksums = query["checksums"] == "true",
    };

    private static void Write(PipeWriter body, DiskResponse message)
    {
        var length = message.CalculateSize();
        var span = body.GetSpan(LengthBytesMax);
        var used = 0;
        for (var rest = (uint)length; ; rest >>= 7)
        {
            if (rest < 0x80)
            {
                span[used++] = (byte)rest;
                break;
            }

            span[used++] = (byte)(rest | 0x80);
        }

        body.Advance(used);
        message.WriteTo(body);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "{Path}: {Status} {Message}")]
        public static partial void Refused(ILogger logger, string path, StatusCode status, string message);

        [LoggerMessage(2, LogLevel.Error, "{Path} failed")]
        public static partial void Unhandled(ILogger logger, string path, Exception exception);
    }
}
