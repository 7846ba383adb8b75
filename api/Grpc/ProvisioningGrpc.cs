using System.Diagnostics;
using Grpc.Core;
using Registry.Api.Auth;
using Registry.Api.Metrics;
using Registry.Api.Provisioning;
using Registry.Engine.Disks;
using Registry.Protos.V1;

namespace Registry.Api.Grpc;

/// <summary>registry.v1.Provisioning.</summary>
internal sealed class ProvisioningGrpc(
    StoredDisks disks, DirectReads direct, ReadShares shares, RegistryMetrics metrics)
    : Protos.V1.Provisioning.ProvisioningBase
{
    private const int ExtentsPerMessage = 4096;

    /// <inheritdoc/>
    public override async Task GetMap(
        GetMapRequest request, IServerStreamWriter<MapResponse> responseStream, ServerCallContext context)
    {
        var cancellation = context.CancellationToken;
        await using var reading = await shares.OpenAsync(
            () => disks.OpenAsync(Caller.Of(context.GetHttpContext()), request.ImageId, cancellation), cancellation, most: 0,
            projectId: ProjectOf(context));
        var disk = reading.Open.Disk;
        var message = new MapResponse { Info = DiskMessages.Info(disk) };
        await foreach (var extent in disk.MapAsync(0, disk.VirtualSize, cancellation))
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
                await responseStream.WriteAsync(WireChecksum.Seal(message), cancellation);
                message = new MapResponse();
            }
        }

        if (message.Info is not null || message.Extents.Count > 0)
        {
            await responseStream.WriteAsync(WireChecksum.Seal(message), cancellation);
        }
    }

    /// <inheritdoc/>
    public override async Task ReadDisk(
        ReadDiskRequest request, IServerStreamWriter<DiskResponse> responseStream, ServerCallContext context)
    {
        using var span = RegistryMetrics.Traces.StartActivity("provision");
        span?.SetTag("image.id", request.ImageId);
        var cancellation = context.CancellationToken;
        await using var reading = await shares.OpenAsync(
            () => disks.OpenAsync(Caller.Of(context.GetHttpContext()), request.ImageId, cancellation), cancellation,
            projectId: ProjectOf(context));
        var stored = reading.Open;
        var size = stored.SizeFor(request.Size == 0 ? null : request.Size);
        var messages = DiskMessages.ReadAsync(
            stored.Disk, size, request, reading.Share, DataMessages.BytesMax, () => stored.Blob.BytesRead, cancellation);
        await foreach (var message in messages)
        {
            if (message.End is { } end)
            {
                metrics.Provisioned(end.BytesSent);
            }

            await responseStream.WriteAsync(message, cancellation);
        }
    }

    /// <inheritdoc/>
    public override async Task GetChanges(
        GetChangesRequest request, IServerStreamWriter<ChangesResponse> responseStream, ServerCallContext context)
    {
        var cancellation = context.CancellationToken;
        await using var reading = await shares.OpenAsync(
            () => DiskPair.OpenAsync(
                disks, Caller.Of(context.GetHttpContext()), request.ImageId, request.SinceImageId, cancellation),
            cancellation, projectId: ProjectOf(context));
        var pair = reading.Open;
        var message = new ChangesResponse { Info = DiskMessages.Info(pair.Newer.Disk) };
        await foreach (var run in pair.FindAsync(reading.Share.Options, cancellation))
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

    /// <inheritdoc/>
    public override async Task<ImageSource> GetSource(GetSourceRequest request, ServerCallContext context) =>
        await direct.DescribeAsync(
            Caller.Of(context.GetHttpContext()), request.ImageId, request.Segments, context.CancellationToken);

    private static string? ProjectOf(ServerCallContext context) => Caller.Of(context.GetHttpContext()).ProjectId;

    private static MapExtent.Types.Kind Kind(ExtentKind kind) => kind switch
    {
        ExtentKind.Hole => MapExtent.Types.Kind.Hole,
        ExtentKind.Zero => MapExtent.Types.Kind.Zero,
        ExtentKind.Data => MapExtent.Types.Kind.Data,
        ExtentKind.Compressed => MapExtent.Types.Kind.Compressed,
        _ => throw new UnreachableException(),
    };
}
