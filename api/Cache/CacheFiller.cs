using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Registry.Api.ImageData;
using Registry.Api.Stores;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Cache;

/// <summary>Fetches the images that wait in the queue, one after another, and removes from the cache what belongs to no
/// image any more.</summary>
/// <remarks>Fetching is reading: through the cache, like everybody. So what is there already is checked, and fetched
/// once more where it is damaged.</remarks>
internal sealed partial class CacheFiller(
    LocalCache cache,
    CacheCommands commands,
    StoreSet stores,
    IDbContextFactory<RegistryDb> databases,
    ChunkPool pool,
    TimeProvider clock,
    IOptions<RegistryOptions> options,
    ILogger<CacheFiller> logger) : BackgroundService
{
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(30);

    private readonly CacheSection _options = options.Value.Cache;
    private readonly Dictionary<string, long> _failedAt = [];

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (cache.Queue is not { } queue)
        {
            return;
        }

        long? sweptAt = null;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await WorkAsync(queue, stoppingToken);
                if (sweptAt is not { } last || clock.GetElapsedTime(last) >= _options.SweepInterval)
                {
                    await commands.SweepAsync(stoppingToken);
                    sweptAt = clock.GetTimestamp();
                }
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                Log.Failed(logger, e); // whatever it was: serving goes on, and the next round tries again
            }
            catch (OperationCanceledException)
            {
                return;
            }

            await Task.Delay(Poll, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task WorkAsync(CacheQueue queue, CancellationToken stoppingToken)
    {
        foreach (var (id, since) in queue.List())
        {
            var now = clock.GetUtcNow();
            if (now - since < _options.QueueDelay
                || (_failedAt.TryGetValue(id, out var failedAt) && clock.GetElapsedTime(failedAt) < RetryAfter))
            {
                continue;
            }

            try
            {
                await FetchAsync(queue, id, stoppingToken);
                _failedAt.Remove(id);
                queue.Remove(id);
            }
            catch (Exception e) when (e is IOException or RegistryException)
            {
                _failedAt[id] = clock.GetTimestamp(); // it waits on
                Log.NotFetched(logger, id, e);
            }
        }
    }

    private async Task FetchAsync(CacheQueue queue, string id, CancellationToken stoppingToken)
    {
        await using var db = await databases.CreateDbContextAsync(stoppingToken);
        var image = await ImageQueries.FindAsync(db, id, Viewer.System, tracking: false, stoppingToken);
        if (image is not { Status: ImageStatus.Active })
        {
            return;
        }

        var blob = await stores.OpenQuietlyAsync(image, stoppingToken);
        var buffer = pool.Rent(ChunkPool.ChunkBytesMax);
        try
        {
            var offset = 0L;
            while (offset < blob.Length && queue.Has(id))
            {
                offset += await blob.ReadAsync(offset, buffer, stoppingToken);
            }
        }
        finally
        {
            pool.Return(buffer);
        }

        var entry = cache.Blocks!.List().FirstOrDefault(one => one.Key == blob.Key);
        if (queue.Has(id) && (entry is null || !await commands.IsWholeAsync(image, entry, stoppingToken)))
        {
            Log.NotKept(logger, id);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "the cache could not be looked after; it goes on")]
        public static partial void Failed(ILogger logger, Exception exception);

        [LoggerMessage(2, LogLevel.Warning, "image {ImageId} cannot be fetched into the cache now; it stays in the queue")]
        public static partial void NotFetched(ILogger logger, string imageId, Exception exception);

        [LoggerMessage(3, LogLevel.Warning,
            "image {ImageId} was read, and the cache has not kept all of it: there is no room, or its store is not cached")]
        public static partial void NotKept(ILogger logger, string imageId);
    }
}
