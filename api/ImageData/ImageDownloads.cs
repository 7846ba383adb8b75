using Microsoft.EntityFrameworkCore;
using Registry.Api.Auth;
using Registry.Api.Metrics;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.ImageData;

/// <summary>The download of an image's bytes as they were uploaded, the same for HTTP and gRPC.</summary>
public sealed class ImageDownloads(
    IDbContextFactory<RegistryDb> databases, StoreSet stores, PolicyEngine policy, ChunkPool pool,
    RegistryMetrics metrics)
{
    /// <summary>Opens an image's bytes.</summary>
    /// <returns>The image, and its bytes; null bytes when it has none yet.</returns>
    /// <exception cref="RegistryException">NotFound, Forbidden (deactivated).</exception>
    public async Task<(Image Image, StoredBlob? Blob)> OpenAsync(
        Caller caller, string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        var image = await ImageQueries.FindAsync(db, imageId, caller.Viewer, tracking: false, cancellationToken)
            ?? throw Images.ImageCommands.NotFound(imageId);
        RequireReadable(policy, caller, image);
        if (image.Locations.Count == 0)
        {
            return (image, null);
        }

        return (image, await stores.OpenAsync(image, cancellationToken));
    }

    /// <summary>Refuses bytes to who may not have them, and those of a deactivated image to all but
    /// administrators.</summary>
    public static void RequireReadable(PolicyEngine policy, Caller caller, Image image)
    {
        policy.Require(caller, "download_image", image);
        if (image.Status == ImageStatus.Deactivated && !caller.IsAdmin)
        {
            throw new RegistryException(
                ErrorCode.Forbidden, "The requested image has been deactivated. Image data download is forbidden.");
        }
    }

    /// <summary>Copies a range of verified bytes, reading ahead of the consumer by one chunk.</summary>
    /// <param name="blob">The bytes.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="consume">Takes the next bytes, in order; the memory is its own only until it returns.</param>
    /// <param name="cancellationToken">Ends the copy.</param>
    public async Task CopyAsync(
        StoredBlob blob, long offset, long length,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> consume, CancellationToken cancellationToken)
    {
        var (current, next) = (pool.Rent(), pool.Rent());
        var end = offset + length;
        var reading = ReadAsync(blob, offset, end, current, cancellationToken);
        try
        {
            while (offset < end)
            {
                var filled = await reading;
                offset += filled;
                (current, next) = (next, current);
                reading = ReadAsync(blob, offset, end, current, cancellationToken);
                await consume(next.AsMemory(0, filled), cancellationToken);
            }
        }
        finally
        {
            // It writes into a buffer we give back.
            await ((Task)reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pool.Return(current);
            pool.Return(next);
            metrics.StoreRead(blob.BytesRead);
        }
    }

    private static async Task<int> ReadAsync(
        StoredBlob blob, long offset, long end, byte[] buffer, CancellationToken cancellationToken)
    {
        var wanted = (int)Math.Min(buffer.Length, end - offset);
        if (wanted == 0)
        {
            return 0;
        }

        var read = await blob.ReadAsync(offset, buffer.AsMemory(0, wanted), cancellationToken);
        return read == wanted ? read : throw new EndOfStreamException("The stored image ends before its length.");
    }
}
