using System.Buffers;
using Registry.Storage.Domain;

namespace Registry.Storage.Blobs;

/// <summary>Copies a blob from one store to another, verified on the way out of the one and in the other.</summary>
public static class BlobCopy
{
    private const int PieceBytes = 4 << 20;

    /// <summary>Bytes of memory that a copy holds.</summary>
    /// <param name="target">The store to copy to.</param>
    /// <param name="dataLength">Length of the data in bytes.</param>
    public static long MemoryBytes(IBlobStore target, long dataLength)
    {
        ArgumentNullException.ThrowIfNull(target);
        return PieceBytes + VerifiedBlob.IndexBytes(dataLength) + target.WriterBytes(dataLength);
    }

    /// <summary>Copies and commits.</summary>
    /// <param name="source">The store that has the blob.</param>
    /// <param name="location">The blob there.</param>
    /// <param name="target">The store to copy to.</param>
    /// <param name="key">The name of the copy, which no attempt has used before.</param>
    /// <param name="progress">Hears of bytes copied.</param>
    /// <param name="cancellationToken">Cancels; nothing is left behind.</param>
    /// <exception cref="BlobNotFoundException">The source has no such blob.</exception>
    /// <exception cref="BlobCorruptException">The source's bytes are not what was uploaded, or the index did not arrive
    /// whole.</exception>
    /// <exception cref="StoreFullException">The target has no room.</exception>
    /// <exception cref="IOException">A store failed.</exception>
    public static async Task RunAsync(
        IBlobStore source,
        ImageLocation location,
        IBlobStore target,
        BlobKey key,
        Action<long> progress,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(location);
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(progress);
        var blob = await VerifiedBlob.OpenAsync(source, location, cancellationToken).ConfigureAwait(false);
        var writer = await target.BeginAsync(key, location.DataLength, cancellationToken)
            .ConfigureAwait(false);
        await using var disposal = writer.ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            var piece = buffer.AsMemory(0, PieceBytes);
            for (var offset = 0L; offset < location.DataLength;)
            {
                var read = await blob.ReadAsync(offset, piece, cancellationToken).ConfigureAwait(false);
                await writer.AppendAsync(BlobPart.Data, piece[..read], cancellationToken).ConfigureAwait(false);
                offset += read;
                progress(offset);
            }

            for (var offset = 0L; offset < location.IndexLength;)
            {
                var length = (int)Math.Min(PieceBytes, location.IndexLength - offset);
                var read = await source.ReadAsync(
                    location.Key, BlobPart.Index, offset, piece[..length], cancellationToken).ConfigureAwait(false);
                if (read < length)
                {
                    throw new BlobCorruptException(source.Id, location.Key, BlobPart.Index, offset + read);
                }

                await writer.AppendAsync(BlobPart.Index, piece[..read], cancellationToken).ConfigureAwait(false);
                offset += read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        await writer.CommitAsync(cancellationToken).ConfigureAwait(false);
        await VerifyIndexAsync(target, location.CopyAs(key, target.Id, location.CreatedAt), cancellationToken)
            .ConfigureAwait(false);
    }

    // The index went by unread; every page of it is read once where it now is.
    private static async Task VerifyIndexAsync(
        IBlobStore target, ImageLocation location, CancellationToken cancellationToken)
    {
        var copy = await VerifiedBlob.OpenAsync(target, location, cancellationToken).ConfigureAwait(false);
        for (var offset = 0L; offset < copy.Length;)
        {
            offset += (await copy.RunAsync(offset, cancellationToken).ConfigureAwait(false)).Length;
        }

        var page = new byte[64 * 1024];
        for (var offset = 0L; offset < copy.MapLength;)
        {
            offset += await copy.ReadMapAsync(offset, page, cancellationToken).ConfigureAwait(false);
        }
    }
}
