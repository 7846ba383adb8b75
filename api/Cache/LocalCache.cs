using Microsoft.Extensions.Options;
using Registry.Api.Metrics;
using Registry.Storage.Blobs.Cache;

namespace Registry.Api.Cache;

/// <summary>The cache of this process, if it has one: blocks, and a queue of images to be fetched.</summary>
public sealed class LocalCache(
    IOptions<RegistryOptions> options, TimeProvider clock, RegistryMetrics metrics, ILogger<BlockCache> logger)
    : IDisposable
{
    private readonly CacheSection _options = options.Value.Cache;

    /// <summary>Whether the configuration wants a cache.</summary>
    public bool IsOn => _options.IsWanted;

    /// <summary>The blocks; null without a cache, and before the start.</summary>
    public BlockCache? Blocks { get; private set; }

    /// <summary>Images to be fetched; null without a cache, and before the start.</summary>
    internal CacheQueue? Queue { get; private set; }

    /// <summary>Opens the cache where one is wanted. Only a server does: other verbs have nothing to read twice.
    /// </summary>
    /// <exception cref="ConfigurationException">The directory cannot be used.</exception>
    public void Open()
    {
        if (!IsOn)
        {
            return;
        }

        try
        {
            Blocks = new BlockCache(_options.Directory, _options.MaxBytes, clock, logger);
            Queue = new CacheQueue(Path.Combine(_options.Directory, "queue"), clock);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException(
                $"Registry:Cache:Directory '{_options.Directory}' cannot be used: {e.Message}");
        }

        metrics.WatchCache(Blocks);
    }

    /// <summary>Forgets an image that is no more.</summary>
    public void Forget(string imageId)
    {
        Queue?.Remove(imageId);
        Blocks?.Drop(key => key.ImageId == imageId);
    }

    /// <inheritdoc/>
    public void Dispose() => Blocks?.Dispose();
}
