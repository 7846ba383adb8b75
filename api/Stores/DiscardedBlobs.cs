using System.Data.Common;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Stores;

/// <summary>Removes blobs that their attempt has given up, or that their image has lost; what cannot be removed is left
/// to the reaper.</summary>
public sealed partial class DiscardedBlobs(StoreSet stores, BlobRemoval removal, ILogger<DiscardedBlobs> logger)
{
    /// <summary>Removes a blob unless something refers to it. Read-only stores keep what they have. Never throws for a
    /// store or a database that fails.</summary>
    /// <param name="storeId">The store that the blob is in.</param>
    /// <param name="key">The blob.</param>
    public async Task RemoveAsync(string storeId, BlobKey key)
    {
        if (stores.Find(storeId) is { Settings.TakesUploads: false })
        {
            return;
        }

        try
        {
            if (!await removal.RemoveAsync(stores.Get(storeId), key, CancellationToken.None))
            {
                Log.Kept(logger, key.ImageId, key.Generation, storeId);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or RegistryException or DbException)
        {
            Log.LeftToReaper(logger, key.ImageId, key.Generation, storeId, e);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "blob {ImageId}/{Generation} in store {StoreId} is left to the reaper")]
        public static partial void LeftToReaper(
            ILogger logger, string imageId, long generation, string storeId, Exception exception);

        [LoggerMessage(2, LogLevel.Debug, "blob {ImageId}/{Generation} in store {StoreId} is kept: it is referred to")]
        public static partial void Kept(ILogger logger, string imageId, long generation, string storeId);
    }
}
