using Microsoft.EntityFrameworkCore;
using Registry.Storage.Metadata;

namespace Registry.Storage.Blobs;

/// <summary>Removes blobs that nothing refers to. Every deletion of a blob by its key goes through here.</summary>
/// <remarks>Each attempt at an upload, copy or import writes under a generation of its own, and its intent is in the
/// database before its first byte is in the store. Only that intent can turn into staged bytes or a location, so a blob
/// that nothing refers to can never be referred to later: however much time passes between the look and the deletion,
/// the deletion takes nothing that was committed after the look.</remarks>
public sealed class BlobRemoval(IDbContextFactory<RegistryDb> databases)
{
    /// <summary>Removes a blob, committed or half-written, unless an intent, staged bytes or a location refers to it.
    /// </summary>
    /// <param name="store">The store that the blob is in.</param>
    /// <param name="key">The blob. One that is not there counts as removed.</param>
    /// <param name="cancellationToken">Cancels; the blob may be half removed, which the reaper completes.</param>
    /// <returns>False when something refers to the blob: it is left alone.</returns>
    /// <exception cref="Domain.RegistryException"><see cref="Domain.ErrorCode.DatabaseUnavailable"/>: nothing was removed.
    /// </exception>
    /// <exception cref="IOException">The store failed.</exception>
    public async Task<bool> RemoveAsync(IBlobStore store, BlobKey key, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        if (await IsWantedAsync(store.Id, key, cancellationToken).ConfigureAwait(false))
        {
            return false;
        }

        await store.DeleteAsync(key, cancellationToken).ConfigureAwait(false);
        return true;
    }

    // Under the image's lock: a commit that is under way has ended, one way or the other, when the answer is read.
    private Task<bool> IsWantedAsync(string storeId, BlobKey key, CancellationToken cancellationToken) =>
        WriteTransaction.RunAsync(
            databases,
            async (db, _) =>
            {
                await DatabaseDialect.LockAsync(db, key.ImageId, cancellationToken).ConfigureAwait(false);
                var wanted = await BlobReferences.FindAsync(db, storeId, [key], cancellationToken).ConfigureAwait(false);
                return wanted.Contains(key);
            },
            cancellationToken);
}
