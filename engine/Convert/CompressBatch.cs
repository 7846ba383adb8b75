using Registry.Engine.Codecs;
using Registry.Engine.Disks;

namespace Registry.Engine.Convert;

/// <summary>Neighbouring clusters that one processor compresses at a time.</summary>
/// <param name="clusterSize">Bytes of a cluster.</param>
/// <param name="clusters">Clusters of the batch.</param>
/// <param name="compression">How they are compressed.</param>
internal sealed class CompressBatch(int clusterSize, int clusters, ClusterCompression compression)
{
    private readonly byte[] content = new byte[clusters * clusterSize];
    private readonly byte[] packed = new byte[clusters * clusterSize];
    private readonly int[] lengths = new int[clusters];
    private int used;

    /// <summary>Which batch of the disk this is.</summary>
    public long Index { get; private set; }

    /// <summary>Guest bytes that were put in.</summary>
    public long BytesAdded { get; private set; }

    /// <summary>The compression, once it has begun.</summary>
    public Task Work { get; private set; } = Task.CompletedTask;

    /// <summary>First guest cluster.</summary>
    public long FirstCluster => Index * clusters;

    /// <summary>Clusters of the batch.</summary>
    public int Clusters => clusters;

    /// <summary>Makes this an empty batch.</summary>
    public void Start(long index)
    {
        content.AsSpan(0, used).Clear();
        (Index, used, BytesAdded) = (index, 0, 0);
    }

    /// <summary>Puts content in.</summary>
    /// <param name="within">Where in the batch.</param>
    /// <param name="data">What fits into it.</param>
    public void Add(int within, ReadOnlySpan<byte> data)
    {
        data.CopyTo(content.AsSpan(within));
        used = Math.Max(used, within + data.Length);
        BytesAdded += data.Length;
    }

    /// <summary>Begins to compress, in the background.</summary>
    public void Compress(CancellationToken cancellationToken) =>
        Work = Task.Run(() => CompressAll(cancellationToken), cancellationToken);

    /// <summary>Bytes of a compressed cluster; 0 when the cluster is zeroes, -1 when it does not become
    /// smaller.</summary>
    public int Length(int cluster) => lengths[cluster];

    /// <summary>A cluster as it is.</summary>
    public ReadOnlySpan<byte> Plain(int cluster) => content.AsSpan(cluster * clusterSize, clusterSize);

    /// <summary>The compressed clusters, one directly after the other.</summary>
    public ReadOnlyMemory<byte> Packed => packed;

    private void CompressAll(CancellationToken cancellationToken)
    {
        var end = 0;
        for (var i = 0; i < clusters; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var plain = Plain(i);
            if (i * clusterSize >= used || !plain.ContainsAnyExcept((byte)0))
            {
                lengths[i] = 0;
                continue;
            }

            var length = ClusterCodec.Encode(compression, plain, packed.AsSpan(end, clusterSize - 1));
            lengths[i] = length == 0 ? -1 : length;
            end += length;
        }
    }
}
