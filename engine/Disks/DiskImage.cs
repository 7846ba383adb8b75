using System.Buffers;
using System.Runtime.CompilerServices;
using Registry.Engine.Bytes;

namespace Registry.Engine.Disks;

/// <summary>An open disk image: what the guest would see, and where it is stored.</summary>
/// <remarks>Mapping is the central idea: reading, converting and provisioning are consumers of <see cref="MapAsync"/>.
/// Instances may be used from several threads at once. Disposing does not dispose the sources.</remarks>
public abstract class DiskImage : IAsyncDisposable
{
    /// <summary>The container's format.</summary>
    public abstract DiskFormat Format { get; }

    /// <summary>Virtual size in bytes.</summary>
    public abstract long VirtualSize { get; }

    /// <summary>Allocation granularity in bytes, a power of two (a qcow2 cluster; 512 for raw).</summary>
    public abstract int ClusterSize { get; }

    /// <summary>How compressed extents are compressed.</summary>
    public virtual ClusterCompression Compression => ClusterCompression.None;

    /// <summary>The bytes that extents of the given depth are stored in.</summary>
    /// <param name="depth">0 for the image itself; else as an extent says it.</param>
    public abstract IByteSource Layer(int depth);

    /// <summary>Lists the extents that cover a guest range, ascending, without gap or overlap, clipped to it.</summary>
    /// <remarks>Neighbouring extents of one kind are merged where their stored bytes continue each other; every
    /// compressed cluster is an extent of its own and is never clipped inside: the range is widened to whole clusters.
    /// Only where the disk ends inside its last cluster is that extent shorter than what it decodes to.</remarks>
    /// <param name="start">First guest byte.</param>
    /// <param name="length">Length in bytes; start + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="cancellationToken">Cancels the listing.</param>
    /// <exception cref="ImageFormatException">A table entry is malformed or asks for what the limits
    /// forbid.</exception>
    public abstract IAsyncEnumerable<Extent> MapAsync(long start, long length, CancellationToken cancellationToken);

    /// <summary>Lists what qemu-img says of a guest range: the runs of <c>qemu-img map</c>, merged alike.</summary>
    /// <param name="start">First guest byte.</param>
    /// <param name="length">Length in bytes; start + length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="cancellationToken">Cancels the listing.</param>
    /// <exception cref="ImageFormatException">A table entry is malformed.</exception>
    public virtual async IAsyncEnumerable<BlockStatus> StatusAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var merged = default(BlockStatus);
        await foreach (var part in StatusPartsAsync(start, length, cancellationToken).ConfigureAwait(false))
        {
            if (merged.TryAppend(part, out var longer))
            {
                merged = longer;
                continue;
            }

            if (merged.Length > 0)
            {
                yield return merged;
            }

            merged = part;
        }

        if (merged.Length > 0)
        {
            yield return merged;
        }
    }

    /// <summary>The runs of <see cref="StatusAsync"/> before they are merged.</summary>
    /// <param name="start">First guest byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="cancellationToken">Cancels the listing.</param>
    protected virtual async IAsyncEnumerable<BlockStatus> StatusPartsAsync(
        long start, long length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var extent in MapAsync(start, length, cancellationToken).ConfigureAwait(false))
        {
            var from = Math.Max(extent.Start, start);
            var size = Math.Min(extent.End, start + length) - from;
            yield return new BlockStatus(
                from, size, extent.Depth,
                IsPresent: extent.Kind != ExtentKind.Hole,
                IsZero: !extent.IsStored,
                IsData: extent.IsStored,
                Offset: extent.Kind == ExtentKind.Data ? extent.Offset + (from - extent.Start) : -1);
        }
    }

    /// <summary>Decodes one compressed extent. Safe to call from several threads at once.</summary>
    /// <param name="stored">The extent's stored bytes (at most <see cref="Extent.StoredLength"/>; fewer only where the
    /// layer ends).</param>
    /// <param name="guest">Receives exactly one cluster, <see cref="ClusterSize"/> bytes.</param>
    /// <param name="needed">Bytes of the cluster that lie in the disk: the extent's length.</param>
    /// <exception cref="ImageFormatException"><see cref="FormatError.BadCompressedData"/>: no whole cluster came
    /// out.</exception>
    public virtual void Decode(ReadOnlySpan<byte> stored, Span<byte> guest, int needed) =>
        ClusterCodec.Decode(Compression, stored, guest, needed);

    /// <summary>Reads guest bytes. Fills the whole buffer.</summary>
    /// <param name="offset">First guest byte; offset + buffer length is at most <see cref="VirtualSize"/>.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="cancellationToken">Cancels the read.</param>
    /// <exception cref="ImageFormatException">The image is malformed where it was read.</exception>
    /// <exception cref="IOException">A layer could not be read.</exception>
    public virtual async ValueTask ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        CheckRange(offset, buffer.Length);
        if (buffer.IsEmpty)
        {
            return;
        }

        await foreach (var extent in MapAsync(offset, buffer.Length, cancellationToken).ConfigureAwait(false))
        {
            var from = Math.Max(extent.Start, offset);
            var until = Math.Min(extent.End, offset + buffer.Length);
            var piece = buffer.Slice((int)(from - offset), (int)(until - from));
            switch (extent.Kind)
            {
                case ExtentKind.Data:
                    await FillAsync(
                        Layer(extent.Depth), extent.Offset + (from - extent.Start), piece, cancellationToken)
                        .ConfigureAwait(false);
                    break;
                case ExtentKind.Compressed:
                    await ReadCompressedAsync(extent, (int)(from - extent.Start), piece, cancellationToken)
                        .ConfigureAwait(false);
                    break;
                default:
                    piece.Span.Clear();
                    break;
            }
        }
    }

    /// <summary>Checks a guest range.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is negative or ends past the disk.</exception>
    protected void CheckRange(long start, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, VirtualSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, VirtualSize - start);
    }

    private static async ValueTask FillAsync(
        IByteSource source, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (await source.ReadAsync(offset, buffer, cancellationToken).ConfigureAwait(false) < buffer.Length)
        {
            throw new EndOfStreamException($"The image's bytes end before {offset + buffer.Length}.");
        }
    }

    private async ValueTask ReadCompressedAsync(
        Extent extent, int skip, Memory<byte> piece, CancellationToken cancellationToken)
    {
        var source = Layer(extent.Depth);
        var storedLength = (int)Math.Min(extent.StoredLength, source.Length - extent.Offset);
        var stored = ArrayPool<byte>.Shared.Rent(storedLength);
        var cluster = ArrayPool<byte>.Shared.Rent(ClusterSize);
        try
        {
            await FillAsync(source, extent.Offset, stored.AsMemory(0, storedLength), cancellationToken)
                .ConfigureAwait(false);
            Decode(stored.AsSpan(0, storedLength), cluster.AsSpan(0, ClusterSize), (int)extent.Length);
            cluster.AsSpan(skip, piece.Length).CopyTo(piece.Span);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(stored);
            ArrayPool<byte>.Shared.Return(cluster);
        }
    }

    /// <inheritdoc/>
    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}
