using System.Buffers;
using Registry.Engine.Bytes;

namespace Registry.Engine.Convert;

/// <summary>Writes a disk as a qcow2 file whose layout is known. Data may arrive in any order.</summary>
/// <param name="target">A new, empty file; stays the caller's.</param>
/// <param name="layout">Where everything goes.</param>
public sealed class QcowDiskSink(IByteSink target, QcowLayout layout) : IDiskSink
{
    private const int MetadataChunkBytes = 1 << 20;

    private bool hasMetadata;

    /// <inheritdoc/>
    public long BytesWritten { get; private set; }

    /// <summary>Whether completing flushes to stable storage.</summary>
    public bool IsDurable { get; init; } = true;

    /// <summary>Bytes of the runs of zeroes that are not written to a target that reads as zeroes, a power of two; 0
    /// when all content is written.</summary>
    public int SparseBytes { get; init; }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">Content lies outside the clusters that the layout allocates.</exception>
    public async ValueTask WriteAsync(long guestOffset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        await WriteMetadataAsync(cancellationToken).ConfigureAwait(false);
        ArgumentOutOfRangeException.ThrowIfNegative(guestOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, layout.VirtualSize - guestOffset);
        while (data.Length > 0)
        {
            var run = (int)layout.AllocatedRun(guestOffset, data.Length);
            if (run == 0)
            {
                SkipZeroes(guestOffset, data.Span, out run);
            }
            else
            {
                var host = layout.HostOffset(guestOffset);
                BytesWritten += await ZeroBlocks
                    .WriteOthersAsync(target, host, data[..run], SparseBytes, cancellationToken).ConfigureAwait(false);
            }

            guestOffset += run;
            data = data[run..];
        }
    }

    /// <inheritdoc/>
    public async ValueTask CompleteAsync(CancellationToken cancellationToken)
    {
        await WriteMetadataAsync(cancellationToken).ConfigureAwait(false);
        if (IsDurable)
        {
            await target.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>A cluster left out of the layout may still be handed in, if it is all zeroes.</summary>
    private void SkipZeroes(long guestOffset, ReadOnlySpan<byte> data, out int length)
    {
        length = (int)Math.Min(data.Length, layout.ClusterSize - (guestOffset & (layout.ClusterSize - 1)));
        if (data[..length].ContainsAnyExcept((byte)0))
        {
            throw new ArgumentException($"The cluster at guest offset {guestOffset} is not in the layout.");
        }
    }

    /// <summary>Writes the metadata and sets the file's length, once.</summary>
    private async ValueTask WriteMetadataAsync(CancellationToken cancellationToken)
    {
        if (hasMetadata)
        {
            return;
        }

        hasMetadata = true;
        await target.SetLengthAsync(layout.Length, cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(MetadataChunkBytes);
        try
        {
            for (long offset = 0; offset < layout.MetadataLength; offset += MetadataChunkBytes)
            {
                var chunk = buffer.AsMemory(0, (int)Math.Min(MetadataChunkBytes, layout.MetadataLength - offset));
                layout.ReadMetadata(offset, chunk.Span);
                await target.WriteAsync(offset, chunk, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
