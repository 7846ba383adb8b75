using Microsoft.EntityFrameworkCore;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Policy;
using Registry.Api.Stores;
using Registry.Storage.Blobs.Cache;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Cache;

/// <summary>An image that is in the cache with all of its data.</summary>
/// <param name="Image">The image.</param>
/// <param name="Entry">What the cache has of it.</param>
internal sealed record CachedImage(Image Image, CacheEntry Entry);

/// <summary>What an operator can do with the cache of this process. Each verb authorises first, and says then that there
/// is no cache, as Glance does.</summary>
internal sealed partial class CacheCommands(
    LocalCache cache, IDbContextFactory<RegistryDb> databases, StoreSet stores, PolicyEngine policy,
    ILogger<CacheCommands> logger)
{
    /// <summary>The images that are in the cache, whole, last used first.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public async Task<IReadOnlyList<CachedImage>> ListCachedAsync(
        Caller caller, string rule, CancellationToken cancellationToken)
    {
        var found = new List<CachedImage>();
        foreach (var entry in Require(caller, rule).Blocks.List())
        {
            var image = await FindAsync(entry.Key.ImageId, cancellationToken);
            if (image is not null && found.TrueForAll(one => one.Image.Id != image.Id)
                && image.Locations.Any(location => location.Key == entry.Key)
                && await IsWholeAsync(image, entry, cancellationToken))
            {
                found.Add(new CachedImage(image, entry));
            }
        }

        return found;
    }

    /// <summary>The images that are to be fetched, first to be fetched first.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public IReadOnlyList<string> ListQueued(Caller caller, string rule) =>
        [.. Require(caller, rule).Queue.List().Select(waiting => waiting.ImageId)];

    /// <summary>Has an image fetched; one that is in the cache whole has nothing to wait for.</summary>
    /// <exception cref="RegistryException">NotFound: no such image, or there is no cache. Forbidden. BadRequest: the
    /// image is not active.</exception>
    public async Task QueueAsync(Caller caller, string rule, string imageId, CancellationToken cancellationToken)
    {
        var image = await SeeAsync(caller, imageId, cancellationToken) ?? throw ImageCommands.NotFound(imageId);
        policy.Require(caller, rule, image);
        var (blocks, queue) = RequireOn();
        if (image.Status != ImageStatus.Active)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, "Only images with status active can be targeted for queueing", "not_active");
        }

        if (!await HasWholeAsync(blocks, image, cancellationToken))
        {
            queue.Add(image.Id);
        }
    }

    /// <summary>Takes an image out of the cache and out of the queue; one that is in neither is no error.</summary>
    /// <exception cref="RegistryException">NotFound: no such image, nor anything of it here; or there is no cache.
    /// Forbidden.</exception>
    public async Task DropAsync(Caller caller, string rule, string imageId, CancellationToken cancellationToken)
    {
        if (await SeeAsync(caller, imageId, cancellationToken) is { } image)
        {
            policy.Require(caller, rule, image);
        }
        else if (caller.IsAdmin && IsHere(imageId))
        {
            policy.Require(caller, rule, PolicyTarget.None);
        }
        else
        {
            throw ImageCommands.NotFound(imageId);
        }

        var (blocks, queue) = RequireOn();
        queue.Remove(imageId);
        blocks.Drop(key => key.ImageId == imageId);
    }

    /// <summary>Takes an image out of the cache alone, without a look at whether there is such an image.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public void DropCached(Caller caller, string rule, string imageId) =>
        Require(caller, rule).Blocks.Drop(key => key.ImageId == imageId);

    /// <summary>Takes an image out of the queue alone, without a look at whether there is such an image.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public void DropQueued(Caller caller, string rule, string imageId) =>
        Require(caller, rule).Queue.Remove(imageId);

    /// <summary>Empties the cache.</summary>
    /// <returns>How many images were in it.</returns>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public int ClearCached(Caller caller, string rule) => Require(caller, rule).Blocks.Drop(_ => true).Blobs;

    /// <summary>Empties the queue.</summary>
    /// <returns>How many images were in it.</returns>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public int ClearQueued(Caller caller, string rule)
    {
        var queue = Require(caller, rule).Queue;
        return queue.List().Count(waiting => queue.Remove(waiting.ImageId));
    }

    /// <summary>Refuses who may not empty the cache, whatever else is wrong with his request.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public void RequireMayClear(Caller caller, string rule) => Require(caller, rule);

    /// <summary>Makes room where there is less than the settings want.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public CacheDrop Prune(Caller caller) => Require(caller, "cache_prune").Blocks.Prune();

    /// <summary>Removes what belongs to no image any more.</summary>
    /// <exception cref="RegistryException">Forbidden; NotFound: there is no cache.</exception>
    public Task CleanAsync(Caller caller, CancellationToken cancellationToken)
    {
        Require(caller, "cache_clean");
        return SweepAsync(cancellationToken);
    }

    /// <summary>Whether this process has an image in its cache.</summary>
    /// <exception cref="RegistryException">NotFound: no such image, or there is no cache. Forbidden.</exception>
    public async Task<bool> IsCachedAsync(Caller caller, string imageId, CancellationToken cancellationToken)
    {
        var image = await SeeAsync(caller, imageId, cancellationToken) ?? throw ImageCommands.NotFound(imageId);
        policy.Require(caller, "list_cached_nodes", image);
        return await HasWholeAsync(RequireOn().Blocks, image, cancellationToken);
    }

    /// <summary>Removes what belongs to no image any more, as the server itself.</summary>
    internal async Task SweepAsync(CancellationToken cancellationToken)
    {
        if (cache.Blocks is not { } blocks)
        {
            return;
        }

        foreach (var entry in blocks.List())
        {
            var image = await FindAsync(entry.Key.ImageId, cancellationToken);
            if (image?.Locations.Any(location => location.Key == entry.Key) != true)
            {
                blocks.Drop(key => key == entry.Key);
            }
        }
    }

    /// <summary>Whether all of an image's data is in the cache; where it is not known how much that is, its index is
    /// asked.</summary>
    internal async Task<bool> IsWholeAsync(Image image, CacheEntry entry, CancellationToken cancellationToken)
    {
        if (entry.IsWhole is { } known)
        {
            return known;
        }

        try
        {
            await stores.OpenQuietlyAsync(image, cancellationToken);
        }
        catch (Exception e) when (e is IOException or RegistryException)
        {
            Log.NotTold(logger, image.Id, e);
            return false;
        }

        return cache.Blocks!.List().FirstOrDefault(one => one.Key == entry.Key)?.IsWhole ?? false;
    }

    private async Task<bool> HasWholeAsync(BlockCache blocks, Image image, CancellationToken cancellationToken)
    {
        foreach (var entry in blocks.List().Where(entry => image.Locations.Any(location => location.Key == entry.Key)))
        {
            if (await IsWholeAsync(image, entry, cancellationToken))
            {
                return true;
            }
        }

        return false;
    }

    private bool IsHere(string imageId) =>
        cache.Queue?.Has(imageId) == true || cache.Blocks?.List().Any(entry => entry.Key.ImageId == imageId) == true;

    private (BlockCache Blocks, CacheQueue Queue) Require(Caller caller, string rule)
    {
        policy.Require(caller, rule, PolicyTarget.None);
        return RequireOn();
    }

    private (BlockCache Blocks, CacheQueue Queue) RequireOn() =>
        cache is { Blocks: { } blocks, Queue: { } queue }
            ? (blocks, queue)
            : throw new RegistryException(ErrorCode.NotFound, "Caching via API is not supported at this site.");

    private Task<Image?> FindAsync(string imageId, CancellationToken cancellationToken) =>
        FindAsync(imageId, Viewer.System, cancellationToken);

    private Task<Image?> SeeAsync(Caller caller, string imageId, CancellationToken cancellationToken) =>
        FindAsync(imageId, caller.Viewer, cancellationToken);

    private async Task<Image?> FindAsync(string imageId, Viewer viewer, CancellationToken cancellationToken)
    {
        await using var db = await databases.CreateDbContextAsync(cancellationToken);
        return await ImageQueries.FindAsync(db, imageId, viewer, tracking: false, cancellationToken);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "how much of image {ImageId} is cached cannot be told now")]
        public static partial void NotTold(ILogger logger, string imageId, Exception exception);
    }
}
