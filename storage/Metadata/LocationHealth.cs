using Microsoft.EntityFrameworkCore;
using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Remembers which stored blobs were found damaged, so that reads go elsewhere and an operator hears of
/// it.</summary>
public sealed class LocationHealth(IDbContextFactory<RegistryDb> databases, TimeProvider time)
{
    /// <summary>Records what was found. A blob that is damaged already keeps the time when it was first seen.</summary>
    /// <param name="key">The blob that was looked at. A later one of the image in the same store is left alone.</param>
    /// <param name="storeId">The store that the blob is in.</param>
    /// <param name="isDamaged">Whether its bytes are not, all of them, what was uploaded.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <returns>True when that was news.</returns>
    /// <exception cref="RegistryException"><see cref="ErrorCode.DatabaseUnavailable"/>: the outcome is unknown.
    /// </exception>
    public Task<bool> RecordAsync(
        BlobKey key, string storeId, bool isDamaged, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                DateTimeOffset? since = isDamaged ? Timestamps.Stored(time.GetUtcNow()) : null;
                var changed = await db.Locations
                    .Where(l => l.ImageId == key.ImageId && l.Generation == key.Generation
                        && l.StoreId == storeId && (l.DamagedAt != null) != isDamaged)
                    .ExecuteUpdateAsync(set => set.SetProperty(l => l.DamagedAt, since), cancellationToken)
                    .ConfigureAwait(false);
                return changed == 1;
            },
            cancellationToken);
}
