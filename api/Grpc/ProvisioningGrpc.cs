using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Registry.Api.Auth;
using Registry.Api.Metrics;
using Registry.Api.Provisioning;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Protos.V1;

namespace Registry.Api.Grpc;

/// <summary>registry.v1.Provisioning.</summary>
internal sealed class ProvisioningGrpc(StoredDisks disks, ReadShares shares, RegistryMetrics metrics)
    : Protos.V1.Provisioning.ProvisioningBase
{
    private const int ExtentsPerMessage = 4096;

    /// <inheritdoc/>
    public override async Task GetMap(
        GetMapRequest request, IServerStreamWriter<MapResponse> responseStream, ServerCallContext context)
    {
        var cancellation = context.CancellationToken;
        await using var stored = await disks.OpenAsync(
            Caller.Of(context.GetHttpContext()), request.ImageId, cancellation);
        var message = new MapResponse { Info = Info(stored.Disk) };
        await foreach (var extent in stored.Disk.MapAsync(0, stored.Disk.VirtualSize, cancellation))
        {
            message.Extents.Add(new MapExtent
            {
                Start = extent.Start,
                Length = extent.Length,
                Kind = Kind(extent.Kind),
                StoredLength = extent.StoredLength,
            });
            if (message.Extents.Count == ExtentsPerMessage)
            {
                await responseStream.WriteAsync(message, cancellation);
                message = new MapResponse();
            }
        }

        if (message.Info is not null || message.Extents.Count > 0)
        {
            await responseStream.WriteAsync(message, cancellation);
        }
    }

    /// <inheritdoc/>
    public override async Task ReadDisk(
        ReadDiskRequest request, IServerStreamWriter<DiskResponse> responseStream, ServerCallContext context)
    {
        using var span = RegistryMetrics.Traces.StartActivity("provision");
        span?.SetTag("image.id", request.ImageId);
        var cancellation = context.CancellationToken;
        await using var stored = await disks.OpenAsync(
            Caller.Of(context.GetHttpContext()), request.ImageId, cancellation);
        var size = stored.SizeFor(request.Size == 0 ? null : request.Size);
        var plan = await DiskSteps.PlanAsync(stored.Disk, request.Start, request.Length, cancellation);
        await responseStream.WriteAsync(
            new DiskResponse
            {
                Start = new DiskStart
                {
                    Info = Info(stored.Disk),
                    Size = size,
                    Allocated = plan.Totals.AllocatedBytes,
                    Stored = plan.Totals.StoredBytes,
                    AllocatedInRange = plan.AllocatedInRange,
                },
            },
            cancellation);
        var (from, sent) = (request.Start, 0L);
        foreach (var end in plan.Ends)
        {
            // For a step, so that who came first makes room for who came since.
            using var share = await shares.JoinAsync(cancellation);
            var step = share.Options with { Start = from, Length = end - from };
            await foreach (var piece in DiskReader.ReadAsync(stored.Disk, step, cancellation))
            {
                using (piece)
                {
                    await SendAsync(piece, responseStream, cancellation);
                    sent += piece.Length;
                }
            }

            from = end;
            var checkpoint = new DiskCheckpoint { Offset = end };
            await responseStream.WriteAsync(new DiskResponse { Checkpoint = checkpoint }, cancellation);
        }

        metrics.Provisioned(sent);
        await responseStream.WriteAsync(
            new DiskResponse { End = new DiskEnd { StoreBytesRead = stored.Blob.BytesRead, BytesSent = sent } },
            cancellation);
    }

    /// <inheritdoc/>
    public override async Task GetChanges(
        GetChangesRequest request, IServerStreamWriter<ChangesResponse> responseStream, ServerCallContext context)
    {
        var cancellation = context.CancellationToken;
        await using var changes = await DiskPair.OpenAsync(
            disks, Caller.Of(context.GetHttpContext()), request.ImageId, request.SinceImageId, cancellation);
        var message = new ChangesResponse { Info = Info(changes.Newer.Disk) };
        await foreach (var run in changes.FindAsync(shares, cancellation))
        {
            message.Extents.Add(new ChangedExtent { Start = run.Start, Length = run.Length, Zero = run.IsZero });
            if (message.Extents.Count == ExtentsPerMessage)
            {
                await responseStream.WriteAsync(message, cancellation);
                message = new ChangesResponse();
            }
        }

        if (message.Info is not null || message.Extents.Count > 0)
        {
            await responseStream.WriteAsync(message, cancellation);
        }
    }

    private static async Task SendAsync(
        DiskPiece piece, IServerStreamWriter<DiskResponse> responses, CancellationToken cancellationToken)
    {
        for (var sent = 0; sent < piece.Data.Length; sent += DataMessages.BytesMax)
        {
            var part = piece.Data.Slice(sent, Math.Min(DataMessages.BytesMax, piece.Data.Length - sent));
            var data = new DiskData { Offset = piece.Offset + sent, Data = UnsafeByteOperations.UnsafeWrap(part) };
            await responses.WriteAsync(new DiskResponse { Data = data }, cancellationToken);
        }
    }

    private static DiskInfo Info(DiskImage disk) => new()
    {
        VirtualSize = disk.VirtualSize,
        ClusterSize = disk.ClusterSize,
        Format = DiskJson.Format(disk),
    };

    private static MapExtent.Types.Kind Kind(ExtentKind kind) => kind switch
    {
        ExtentKind.Hole => MapExtent.Types.Kind.Hole,
        ExtentKind.Zero => MapExtent.Types.Kind.Zero,
        ExtentKind.Data => MapExtent.Types.Kind.Data,
        ExtentKind.Compressed => MapExtent.Types.Kind.Compressed,
        _ => throw new UnreachableException(),
    };
}
