using System.Diagnostics;
using Grpc.Core;
using Registry.Api.Grpc;
using Registry.Engine.Convert;
using Registry.Engine.Qcow2;
using Registry.Protos.V1;
using Registry.Storage.Blobs;

namespace Registry.Api.Cli;

/// <summary>Brings a stored image's disk to a target, and goes on by itself when the registry went away for a
/// while.</summary>
/// <param name="registry">Tells what of a disk is allocated; not asked for a raw one.</param>
/// <param name="feed">Where the content comes from.</param>
/// <param name="imageId">The image.</param>
/// <param name="target">Where the disk goes.</param>
/// <param name="isQcow">Whether it becomes a qcow2 file.</param>
/// <param name="size">Bytes of the disk; 0 for the image's own.</param>
/// <param name="patience">How long to try without getting on.</param>
internal sealed class DiskDownload(
    Connection? registry, IDiskFeed feed, string imageId, ProvisionTarget target, bool isQcow, long size, TimeSpan patience)
{
    private static readonly TimeSpan PauseMin = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(5);

    private QcowLayout? _layout;
    private IDiskSink? _sink;

    /// <summary>What came of it, in bytes.</summary>
    /// <param name="Start">The disk.</param>
    /// <param name="StoreBytesRead">Read from the store, as far as told.</param>
    /// <param name="Written">Content written.</param>
    /// <param name="ResumedAt">Guest byte at which an earlier run's work was taken up.</param>
    public sealed record Outcome(DiskStart Start, long StoreBytesRead, long Written, long ResumedAt);

    /// <summary>Runs to the end.</summary>
    /// <exception cref="RpcException">The registry refuses, or is away for longer than the patience lasts.</exception>
    /// <exception cref="IOException">The target failed.</exception>
    public async Task<Outcome> RunAsync(CancellationToken cancellationToken)
    {
        var resumedAt = target.Offset;
        var (start, read) = (new DiskStart(), 0L);
        var (lastAdvance, lastOffset) = (Stopwatch.GetTimestamp(), target.Offset);
        using var progress = new ProgressBar("provision", 0);
        var damaged = 0;
        for (var pause = PauseMin; ; pause = pause * 2 < PauseMax ? pause * 2 : PauseMax)
        {
            try
            {
                if (_sink is null && target.Offset > 0 && !isQcow)
                {
                    // The mark took the place of the first bytes.
                    await ReceiveAsync(0, UnfinishedTarget.MarkBytes, null, cancellationToken);
                }

                (start, read) = await ReceiveAsync(target.Offset, 0, progress, cancellationToken);
                break;
            }
            catch (Exception e) when (IsPassing(e) && !cancellationToken.IsCancellationRequested)
            {
                if (target.Offset > lastOffset)
                {
                    (lastAdvance, lastOffset, pause) = (Stopwatch.GetTimestamp(), target.Offset, PauseMin);
                    damaged = 0;
                }

                damaged += e is DamagedMessageException ? 1 : 0;
                if (damaged == DamagedMessageException.AttemptsMax
                    || (damaged == 0 && Stopwatch.GetElapsedTime(lastAdvance) + pause > patience))
                {
                    throw;
                }

                await Task.Delay(pause, cancellationToken);
            }
        }

        await _sink!.CompleteAsync(cancellationToken);
        await target.FinishAsync(_layout?.Length ?? start.Size, cancellationToken);
        return new Outcome(start, read, _sink.BytesWritten, resumedAt);
    }

    private async Task<(DiskStart Start, long StoreBytesRead)> ReceiveAsync(
        long offset, long length, ProgressBar? progress, CancellationToken cancellationToken)
    {
        var request = new ReadDiskRequest { ImageId = imageId, Size = size, Start = offset, Length = length };
        await using var messages = feed.ReadAsync(request, cancellationToken).GetAsyncEnumerator(cancellationToken);
        var start = (await NextAsync(messages)).Start;
        await PrepareAsync(start, cancellationToken);
        var done = start.Allocated - start.AllocatedInRange;
        while (true)
        {
            var message = await NextAsync(messages);
            switch (message.PartCase)
            {
                case DiskResponse.PartOneofCase.End:
                    return (start, message.End.StoreBytesRead);
                case DiskResponse.PartOneofCase.Checkpoint when length == 0:
                    var reached = message.Checkpoint.Offset;
                    await target.CheckpointAsync(reached, _layout?.HostEnd(reached) ?? reached, cancellationToken);
                    break;
                case DiskResponse.PartOneofCase.Data:
                    await _sink!.WriteAsync(message.Data.Offset, message.Data.Data.Memory, cancellationToken);
                    progress?.Set(done += message.Data.Data.Length, start.Allocated);
                    break;
            }
        }
    }

    private async Task PrepareAsync(DiskStart start, CancellationToken cancellationToken)
    {
        if (_sink is not null)
        {
            return;
        }

        if (isQcow)
        {
            _layout = await LayoutAsync(start.Size, cancellationToken);
        }

        if (target.Offset > 0)
        {
            target.Bytes.Resume(_layout?.HostEnd(target.Offset) ?? target.Offset);
        }

        _sink = _layout is null
            ? new RawDiskSink(target.Bytes, start.Size, targetIsZero: true) { IsDurable = false }
            : new QcowDiskSink(target.Bytes, _layout) { IsDurable = false };
    }

    private async Task<QcowLayout> LayoutAsync(long diskSize, CancellationToken cancellationToken)
    {
        var options = QcowShape.Default;
        diskSize = checked(diskSize + 511) & ~511L;
        var clusters = new ClusterSet(QcowLayout.ClusterCount(diskSize, options.ClusterSize));
        using var call = registry!.Provisioning.GetMap(
            new GetMapRequest { ImageId = imageId }, registry.Headers, cancellationToken: cancellationToken);
        bool? hasChecksums = null;
        await foreach (var message in call.ResponseStream.ReadAllAsync(cancellationToken))
        {
            hasChecksums ??= message.HasChecksum;
            if (hasChecksums.Value != message.HasChecksum
                || (message.HasChecksum && message.Checksum != WireChecksum.Of(message)))
            {
                throw new DamagedMessageException();
            }

            foreach (var extent in message.Extents.Where(
                e => e.Kind is MapExtent.Types.Kind.Data or MapExtent.Types.Kind.Compressed))
            {
                clusters.AddRange(
                    extent.Start / options.ClusterSize,
                    ((extent.Start + extent.Length - 1) / options.ClusterSize) + 1);
            }
        }

        clusters.Seal();
        return new QcowLayout(diskSize, clusters, options);
    }

    private static async Task<DiskResponse> NextAsync(IAsyncEnumerator<DiskResponse> messages) =>
        await messages.MoveNextAsync()
            ? messages.Current
            : throw new RpcException(
                new Status(StatusCode.Unavailable, "The registry ended the disk before it was complete."));

    /// <summary>Whether the same call may succeed later: the registry or its store is away, or the connection broke.
    /// </summary>
    private static bool IsPassing(Exception failure) => failure switch
    {
        RpcException rpc => rpc.StatusCode == StatusCode.Unavailable
            || (rpc.StatusCode is StatusCode.Internal or StatusCode.Unknown or StatusCode.Cancelled
                && rpc.Status.DebugException is not null),
        StoreUnavailableException store => store.MayPass,
        DamagedMessageException => true,
        _ => false,
    };
}
