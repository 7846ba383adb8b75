using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Registry.Storage.Metadata;

namespace Registry.Storage.Blobs;

/// <summary>Removes blobs that nothing refers to: of deleted images, of uploads that failed or were fenced
/// off.</summary>
/// <remarks>Run it as often as wanted and on as many replicas; a blob removed twice is removed.</remarks>
public sealed partial class BlobReaper(
    IDbContextFactory<RegistryDb> databases, BlobRemoval removal, TimeProvider time, ILogger<BlobReaper> logger)
{
    private const int BatchBlobs = 200;

    /// <summary>Removes a store's garbage.</summary>
    /// <param name="store">The store.</param>
    /// <param name="grace">Younger blobs are left alone: room for clocks that differ and for who is still
    /// reading.</param>
    /// <param name="cancellationToken">Cancels between blobs.</param>
    /// <returns>What was removed.</returns>
    /// <exception cref="IOException">The store failed; what was removed stays removed.</exception>
    public async Task<IReadOnlyList<BlobEntry>> ReapAsync(
        IBlobStore store, TimeSpan grace, CancellationToken cancellationToken)
    {
        var removed = new List<BlobEntry>();
        var youngest = SteadyClock.Of(time).Earliest - grace;
        var batch = new List<BlobEntry>(BatchBlobs);
        await foreach (var entry in store.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            if (entry.ModifiedAt > youngest)
            {
                continue;
            }

            batch.Add(entry);
            if (batch.Count == BatchBlobs)
            {
                await ReapBatchAsync(store, batch, removed, cancellationToken).ConfigureAwait(false);
                batch.Clear();
            }
        }

        await ReapBatchAsync(store, batch, removed, cancellationToken).ConfigureAwait(false);
        await store.TidyAsync(youngest, isRemoved: true, cancellationToken).ConfigureAwait(false);
        return removed;
    }

    private async Task ReapBatchAsync(
        IBlobStore store, List<BlobEntry> batch, List<BlobEntry> removed, CancellationToken cancellationToken)
    {
        if (batch.Count == 0)
        {
            return;
        }

        var wanted = await BlobReferences.FindAsync(databases, store.Id, batch, cancellationToken)
            .ConfigureAwait(false);
        foreach (var entry in batch)
        {
            if (wanted.Contains(entry.Key))
            {
                continue;
            }

            cancellationToken.ThrowIfCancellationRequested();
            if (await removal.RemoveAsync(store, entry.Key, cancellationToken).ConfigureAwait(false))
            {
                Log.Reaped(logger, store.Id, entry.Key.ImageId, entry.Key.Generation, entry.IsCommitted);
                removed.Add(entry);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information,
            "Removed blob {ImageId}/{Generation} from store {StoreId} (committed: {IsCommitted}): " +
            "nothing refers to it")]
        public static partial void Reaped(
            ILogger logger, string storeId, string imageId, long generation, bool isCommitted);
    }
}
