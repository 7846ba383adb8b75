using Registry.Engine.Bytes;
using Registry.Engine.Disks;
using Registry.Engine.Qcow2;

namespace Registry.Engine.Convert;

/// <summary>Writes a disk as a qcow2 file of compressed clusters, on all processors.</summary>
/// <remarks>
/// <code>
///   pieces  ->  batches of clusters  ->  compressed, several at once  ->  packed in guest order  ->  the file
/// </code>
/// Compressed clusters follow each other byte by byte. Those that do not become smaller are kept back until there are
/// many, because a plain cluster must be aligned and what is left of the cluster before it is lost. The same disk gives
/// the same file, however many processors there are.
/// </remarks>
/// <param name="target">Where it goes; stays the caller's.</param>
/// <param name="virtualSize">Bytes of the disk; a multiple of 512.</param>
/// <param name="options">Shape of the file.</param>
/// <param name="parallelism">Batches compressed at the same time, 1 or more; memory is about 2 MiB for each.</param>
/// <exception cref="DiskOperationException">The options contradict each other, or the disk does not fit.</exception>
public sealed class QcowCompressSink(
    IByteSink target, long virtualSize, QcowShape options, int parallelism) : IDiskSink
{
    private const int BatchBytes = 1 << 20;
    private const int PlainBytes = 4 << 20;

    private readonly int clusterSize = options.ClusterSize;
    private readonly int batchClusters = Math.Max(1, BatchBytes / options.ClusterSize);
    private readonly QcowTables tables = new(virtualSize, options);
    private readonly Queue<CompressBatch> idle = new();
    private readonly Queue<CompressBatch> running = new();
    private readonly List<long> plainClusters = [];
    private byte[] plain = [];
    private CompressBatch? current;
    private long packedEnd;

    /// <inheritdoc/>
    public long BytesWritten { get; private set; }

    /// <summary>Whether completing flushes to stable storage.</summary>
    public bool IsDurable { get; init; } = true;

    /// <inheritdoc/>
    /// <remarks>Offsets must ascend.</remarks>
    public async ValueTask WriteAsync(long guestOffset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(guestOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, virtualSize - guestOffset);
        var batchBytes = (long)batchClusters * clusterSize;
        while (data.Length > 0)
        {
            var index = guestOffset / batchBytes;
            if (current?.Index != index)
            {
                await BeginAsync(index, cancellationToken).ConfigureAwait(false);
            }

            var within = (int)(guestOffset % batchBytes);
            var length = (int)Math.Min(data.Length, batchBytes - within);
            current!.Add(within, data.Span[..length]);
            guestOffset += length;
            data = data[length..];
        }
    }

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(CancellationToken cancellationToken)
    {
        Submit(cancellationToken);
        while (running.Count > 0)
        {
            await AppendOldestAsync(cancellationToken).ConfigureAwait(false);
        }

        await AppendPlainAsync(cancellationToken).ConfigureAwait(false);
        await tables.WriteAsync(target, cancellationToken).ConfigureAwait(false);
        if (IsDurable)
        {
            await target.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask BeginAsync(long index, CancellationToken cancellationToken)
    {
        if (index < current?.Index)
        {
            throw new InvalidOperationException("A disk is compressed front to back.");
        }

        Submit(cancellationToken);
        while (running.Count > parallelism || (running.Count > 0 && running.Peek().Work.IsCompleted))
        {
            await AppendOldestAsync(cancellationToken).ConfigureAwait(false);
        }

        current = idle.TryDequeue(out var free)
            ? free
            : new CompressBatch(clusterSize, batchClusters, options.Compression);
        current.Start(index);
    }

    private void Submit(CancellationToken cancellationToken)
    {
        if (current is not null)
        {
            current.Compress(cancellationToken);
            running.Enqueue(current);
            current = null;
        }
    }

    private async ValueTask AppendOldestAsync(CancellationToken cancellationToken)
    {
        var batch = running.Peek();
        await batch.Work.ConfigureAwait(false);
        running.Dequeue();
        var from = 0; // what is not written yet of the packed bytes, and where it goes
        var to = 0;
        var host = 0L;
        for (var i = 0; i < batch.Clusters; i++)
        {
            var length = batch.Length(i);
            if (length < 0)
            {
                await KeepPlainAsync(batch, i, cancellationToken).ConfigureAwait(false);
            }

            if (length <= 0)
            {
                continue;
            }

            var at = tables.AddCompressed(batch.FirstCluster + i, length, packedEnd);
            if (at != host + (to - from))
            {
                await target.WriteAsync(host, batch.Packed[from..to], cancellationToken).ConfigureAwait(false);
                (from, host) = (to, at);
            }

            to += length;
            packedEnd = at + length;
        }

        await target.WriteAsync(host, batch.Packed[from..to], cancellationToken).ConfigureAwait(false);
        BytesWritten += batch.BytesAdded;
        idle.Enqueue(batch);
    }

    private async ValueTask KeepPlainAsync(CompressBatch batch, int cluster, CancellationToken cancellationToken)
    {
        if (plain.Length == 0)
        {
            plain = new byte[PlainBytes];
        }

        batch.Plain(cluster).CopyTo(plain.AsSpan(plainClusters.Count * clusterSize));
        plainClusters.Add(batch.FirstCluster + cluster);
        if (plainClusters.Count == PlainBytes / clusterSize)
        {
            await AppendPlainAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask AppendPlainAsync(CancellationToken cancellationToken)
    {
        if (plainClusters.Count == 0)
        {
            return;
        }

        var host = tables.Allocate(plainClusters.Count);
        for (var i = 0; i < plainClusters.Count; i++)
        {
            tables.SetPlain(plainClusters[i], host + ((long)i * clusterSize));
        }

        await target.WriteAsync(host, plain.AsMemory(0, plainClusters.Count * clusterSize), cancellationToken)
            .ConfigureAwait(false);
        plainClusters.Clear();
    }
}
