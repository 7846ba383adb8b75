using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Raw;

namespace Registry.Engine.Qcow2;

/// <content>What qemu-img map says.</content>
public sealed partial class QcowImage
{
    private bool? looksPreallocated;

    /// <inheritdoc/>
    protected override async IAsyncEnumerable<BlockStatus> StatusPartsAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        CheckRange(start, length);
        var extents = Chain is { } images
            ? images.MapAsync(start, length, isExact: true, cancellationToken)
            : OwnAsync(start, length, isExact: true, cancellationToken);
        await foreach (var extent in extents.ConfigureAwait(false))
        {
            var layer = Chain?.Layers[extent.Depth] ?? this;
            if (layer is not QcowImage image)
            {
                yield return BlockStatus.OfRaw(extent, extent.Depth);
                continue;
            }

            var from = Math.Max(extent.Start, start);
            var size = Math.Min(extent.End, start + length) - from;
            var hasPlace = extent.Kind != ExtentKind.Compressed && image.Header.CryptMethod == 0 && extent.Offset >= 0;
            var status = new BlockStatus(
                from, size, extent.Depth,
                IsPresent: extent.Kind != ExtentKind.Hole,
                IsZero: !extent.IsStored,
                IsData: extent.IsStored,
                Offset: hasPlace ? extent.Offset + (from - extent.Start) : -1);
            if (!status.IsData || !hasPlace
                || !await image.LooksPreallocatedAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return status;
                continue;
            }

            var file = image.DataFile ?? image.Source;
            for (long done = 0; done < size;)
            {
                var run = status.Offset + done < file.Length
                    ? await file.RunAsync(status.Offset + done, cancellationToken).ConfigureAwait(false)
                    : new ByteRun(size - done, IsHole: true);
                var step = Math.Min(run.Length, size - done);
                yield return status with
                {
                    Start = status.Start + done,
                    Length = step,
                    IsZero = run.IsHole,
                    Offset = status.Offset + done,
                };
                done += step;
            }
        }
    }

    /// <summary>Whether far more clusters are counted as used than the file takes on its disk: only then does QEMU look
    /// for holes in the file.</summary>
    private async ValueTask<bool> LooksPreallocatedAsync(CancellationToken cancellationToken)
    {
        if (looksPreallocated is { } known)
        {
            return known;
        }

        if (Source is not FileBytes file)
        {
            return false;
        }

        var taken = file.AllocatedBytes() / ClusterSize;
        var threshold = Math.Max(taken * 10 / 9, taken + 2);
        var result = await CountUsedAsync(threshold, cancellationToken).ConfigureAwait(false) >= threshold;
        looksPreallocated = result;
        return result;
    }

    /// <summary>Clusters of the file with a reference count, up to a number.</summary>
    private async ValueTask<long> CountUsedAsync(long enough, CancellationToken cancellationToken)
    {
        var order = (int)Header.RefcountOrder;
        var perBlock = RefcountEntries.PerBlock(ClusterSize, order);
        var clusters = (Source.Length + ClusterSize - 1) / ClusterSize;
        var table = new byte[(int)Math.Min(
            (long)Header.RefcountTableClusters << (int)Header.ClusterBits,
            ((clusters + perBlock - 1) / perBlock) * 8)];
        await Source.ReadAsync((long)Header.RefcountTableOffset, table, cancellationToken).ConfigureAwait(false);
        var block = new byte[ClusterSize];
        var used = 0L;
        for (var i = 0; i < table.Length && used < enough; i += 8)
        {
            var offset = (long)(BinaryPrimitives.ReadUInt64BigEndian(table.AsSpan(i)) & 0x7FFF_FFFF_FFFF_FE00);
            if (offset == 0)
            {
                continue;
            }

            var read = await Source.ReadAsync(offset, block, cancellationToken).ConfigureAwait(false);
            block.AsSpan(read).Clear();
            var count = Math.Min(perBlock, clusters - ((i / 8L) * perBlock));
            for (var entry = 0; entry < count && used < enough; entry++)
            {
                used += RefcountEntries.Get(block, entry, order) == 0 ? 0 : 1;
            }
        }

        return used;
    }
}
