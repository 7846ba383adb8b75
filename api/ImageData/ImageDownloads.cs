using Microsoft.EntityFrameworkCore;
using Registry.Api.Auth;
using Registry.Api.Memory;
using Registry.Api.Metrics;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.ImageData;

/// <summary>The download of an image's bytes as they were uploaded, the same for HTTP and gRPC.</summary>
internal sealed class ImageDownloads(
    IDbContextFactory<RegistryDb> databases, StoreSet stores, PolicyEngine policy, ChunkPool pool, ProcessMemory memory,
    RegistryMetrics metrics)
{
    // A copy holds a piece that is read, one that is sent and what the connection has of it.
    private const int PiecesPerShare = 4;
    private const int LeastPieceBytes = 64 << 10;

    // A piece costs a distant store a request: some fifty copies get the longest there. On a local disk shorter ones do.
    private readonly ByteShares _distant = Together(104 << 20, memory);
    private readonly ByteShares _local = Together(48 << 20, memory);

    /// <summary>Opens an image's bytes, as soon as there is memory to copy them with.</summary>
    /// <param name="caller">Who downloads.</param>
    /// <param name="imageId">The image.</param>
    /// <param name="preferred">Ids of the stores to try first, in order; empty for the registry's own order.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">NotFound, Forbidden (deactivated), BadRequest for an unknown store, Busy: no
    /// memory became free in time.</exception>
    public async Task<ImageDownload> OpenAsync(
        Caller caller, string imageId, IReadOnlyList<string> preferred, CancellationToken cancellationToken)
    {
        var image = await FindAsync(caller, imageId, cancellationToken);
        RequireReadable(policy, caller, image);
        if (preferred.Count > 0)
        {
            policy.Require(caller, "download_from_store", image);
            RequireStores(preferred);
        }

        if (image.Locations.Count == 0)
        {
            return new ImageDownload(image, blob: null, memory: null);
        }

        var share = await memory.TakeAsync(
            memory.Downloads, caller.ProjectId, _local.Least + VerifiedBlob.IndexBytes(image.Size ?? 0), cancellationToken);
        try
        {
            return new ImageDownload(image, await stores.OpenAsync(image, preferred, cancellationToken), share);
        }
        catch
        {
            share.Dispose();
            throw;
        }
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

    /// <summary>Copies a range of verified bytes, in pieces of 512 KiB while few copies run and reading ahead of the consumer
    /// by one; with hundreds of copies, most of whose clients are slow then, in pieces of 64 KiB.</summary>
    /// <param name="blob">The bytes.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="consume">Takes the next bytes, in order; the memory is its own only until it returns.</param>
    /// <param name="cancellationToken">Ends the copy.</param>
    public async Task CopyAsync(
        StoredBlob blob, long offset, long length,
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> consume, CancellationToken cancellationToken)
    {
        var end = offset + length;
        Task<Piece>? ahead = null;
        var shares = blob.IsDistant ? _distant : _local;
        var share = 0;
        try
        {
            while (offset < end)
            {
                // Between any two pieces, so that who came first makes room for who came since.
                share = shares.Exchange(share);
                var most = share / PiecesPerShare;
                var piece = await (ahead ?? ReadAsync(blob, offset, end, most, cancellationToken));
                offset += piece.Length;
                ahead = offset < end && most > LeastPieceBytes
                    ? ReadAsync(blob, offset, end, most, cancellationToken)
                    : null;
                await consume(piece.Buffer.AsMemory(0, piece.Length), cancellationToken);
                pool.Return(piece.Buffer);
            }
        }
        finally
        {
            if (ahead is not null)
            {
                await ((Task)ahead).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            shares.Return(share);
            metrics.StoreRead(blob.BytesRead);
        }
    }

    private void RequireStores(IReadOnlyList<string> ids)
    {
        if (!stores.IsMultiple)
        {
            throw Images.ImageRules.Bad("'prefer' chooses among several stores, and only one is configured.");
        }

        if (ids.FirstOrDefault(id => stores.Find(id) is null) is { } unknown)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, $"Store '{Images.ImageRules.Shown(unknown)}' is not configured.", "unknown_store");
        }
    }

    private async Task<Image> FindAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, imageId, caller.Viewer, tracking: false, cancellationToken)
            ?? throw Images.ImageCommands.NotFound(imageId);
    }

    private static ByteShares Together(long bytes, ProcessMemory memory) => new(
        Math.Min(bytes, memory.Downloads.Bytes),
        [.. new[] { ChunkPool.ChunkBytesMax, 256 << 10, 128 << 10, LeastPieceBytes }.Select(piece => piece * PiecesPerShare)],
        memory.Downloads);

    private async Task<Piece> ReadAsync(
        StoredBlob blob, long offset, long end, int most, CancellationToken cancellationToken)
    {
        var buffer = pool.Rent(most);
        var wanted = (int)Math.Min(most - (offset % BlobIndex.BlockBytes), end - offset); // so that the next is whole blocks
        var read = await blob.ReadAsync(offset, buffer.AsMemory(0, wanted), cancellationToken);
        return read == wanted
            ? new Piece(buffer, wanted)
            : throw new EndOfStreamException("The stored image ends before its length.");
    }

    /// <summary>Bytes that were read. Those of a copy that fails are not given back, but left to the collector.</summary>
    private readonly record struct Piece(byte[] Buffer, int Length);
}
