using System.Runtime.CompilerServices;
using Google.Protobuf;
using Registry.Api.Provisioning;
using Registry.Engine.Convert;
using Registry.Engine.Disks;
using Registry.Protos.V1;

namespace Registry.Api.Grpc;

/// <summary>A disk as the messages of ReadDisk: sent by the registry, or made on the spot by who reads the store
/// itself.</summary>
internal static class DiskMessages
{
    /// <summary>Reads a disk, or the part that is asked for.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="size">Bytes of the disk to make.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="share">Of the memory there is for reading.</param>
    /// <param name="bytesMax">Most bytes of content in one message.</param>
    /// <param name="bytesRead">Tells how much was read from the store.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <returns>Messages; the content of one is gone when the next is asked for.</returns>
    /// <exception cref="Registry.Storage.Domain.RegistryException">BadRequest: the part is not in the disk.</exception>
    public static async IAsyncEnumerable<DiskResponse> ReadAsync(
        DiskImage disk, long size, ReadDiskRequest request, ReadShares.Share share, int bytesMax, Func<long> bytesRead,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var plan = await DiskSteps.PlanAsync(disk, request.Start, request.Length, cancellationToken);
        DiskResponse Sealed(DiskResponse message) => request.Checksums ? WireChecksum.Seal(message) : message;
        yield return Sealed(new DiskResponse
        {
            Start = new DiskStart
            {
                Info = Info(disk),
                Size = size,
                Allocated = plan.Totals.AllocatedBytes,
                Stored = plan.Totals.StoredBytes,
                AllocatedInRange = plan.AllocatedInRange,
                Request = request.Checksums ? request : null,
            },
        });
        var (from, sent) = (request.Start, 0L);
        foreach (var end in plan.Ends)
        {
            share.Renew();
            var step = share.Options with { Start = from, Length = end - from };
            await foreach (var piece in DiskReader.ReadAsync(disk, step, cancellationToken))
            {
                using (piece)
                {
                    for (var at = 0; at < piece.Data.Length; at += bytesMax)
                    {
                        var part = piece.Data.Slice(at, Math.Min(bytesMax, piece.Data.Length - at));
                        var data = new DiskData { Offset = piece.Offset + at, Data = UnsafeByteOperations.UnsafeWrap(part) };
                        yield return Sealed(new DiskResponse { Data = data });
                    }

                    sent += piece.Length;
                }
            }

            from = end;
            yield return Sealed(new DiskResponse { Checkpoint = new DiskCheckpoint { Offset = end } });
        }

        yield return Sealed(
            new DiskResponse { End = new DiskEnd { StoreBytesRead = bytesRead(), BytesSent = sent } });
    }

    /// <summary>What there is to say of a disk.</summary>
    public static DiskInfo Info(DiskImage disk) => new()
    {
        VirtualSize = disk.VirtualSize,
        ClusterSize = disk.ClusterSize,
        Format = DiskJson.Format(disk),
    };
}
