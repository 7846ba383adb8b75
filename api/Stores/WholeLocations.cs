using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Stores;

/// <summary>Looks which locations of an image are known to be whole: not marked as damaged, and in their store with
/// their full length. Only one of them may stand for a copy that is removed.</summary>
public sealed partial class WholeLocations(StoreSet stores, TimeProvider clock, ILogger<WholeLocations> logger)
{
    private static readonly TimeSpan LookMax = TimeSpan.FromSeconds(10);

    /// <summary>Looks at locations, all at the same time.</summary>
    /// <param name="locations">The locations.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Tells whether a location, as the database has it, is one of those that were found whole. A store that
    /// fails, or does not answer within 10 s, leaves its location unknown.</returns>
    public async Task<Func<ImageLocation, bool>> FindAsync(
        IEnumerable<ImageLocation> locations, CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(LookMax, clock);
        using var look = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        var found = await Task.WhenAll(locations.Select(
            async location => (location.StoreId, location.Key, IsWhole: await IsWholeAsync(location, look.Token))));
        cancellationToken.ThrowIfCancellationRequested();
        var whole = found.Where(one => one.IsWhole).Select(one => (one.StoreId, one.Key)).ToHashSet();
        return location => whole.Contains((location.StoreId, location.Key));
    }

    private async Task<bool> IsWholeAsync(ImageLocation location, CancellationToken cancellationToken)
    {
        if (location.DamagedAt is not null)
        {
            return false;
        }

        try
        {
            var stat = await stores.Get(location.StoreId).StatAsync(location.Key, cancellationToken);
            return stat == new BlobStat(location.DataLength, location.IndexLength);
        }
        catch (Exception e) when (
            e is IOException or UnauthorizedAccessException or RegistryException or OperationCanceledException)
        {
            Log.Unknown(logger, location.ImageId, location.StoreId, e);
            return false;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(
            1, LogLevel.Warning, "whether image {ImageId} is whole in store {StoreId} is unknown: the store does not answer")]
        public static partial void Unknown(ILogger logger, string imageId, string storeId, Exception exception);
    }
}
