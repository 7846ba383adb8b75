using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.Extensions.Options;
using Registry.Api.Cache;
using Registry.Api.Jobs;
using Registry.Api.Memory;
using Registry.Api.Metrics;
using Registry.Storage.Blobs;
using Registry.Storage.Blobs.Cache;
using Registry.Storage.Blobs.S3;
using Registry.Storage.Domain;
using Registry.Storage.Metadata;

namespace Registry.Api.Stores;

/// <summary>A store and its settings.</summary>
/// <param name="Blobs">The store.</param>
/// <param name="Settings">Its settings.</param>
public sealed record ConfiguredStore(IBlobStore Blobs, StoreSection Settings);

/// <summary>The configured stores by id.</summary>
public sealed partial class StoreSet : IDisposable
{
    /// <summary>Of the memory of buffers, for what concurrent readers of an image share.</summary>
    private const int RecentShare = 16;

    private const long RecentMax = 512 << 20;

    /// <summary>A store with less room than this takes next to no upload.</summary>
    private const long RoomLeast = 1 << 20;

    /// <summary>How long a store that failed is asked last.</summary>
    private static readonly TimeSpan Shunned = TimeSpan.FromSeconds(15);

    private readonly Dictionary<string, ConfiguredStore> _stores = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _failedAt = new(StringComparer.Ordinal);
    private readonly LocalCache _cache;
    private readonly TimeProvider _time;
    private readonly RegistryMetrics _metrics;
    private readonly LocationHealth _health;
    private readonly ILogger<StoreSet> _logger;

    /// <summary>Makes the stores of the configuration.</summary>
    /// <exception cref="ConfigurationException">One cannot be opened.</exception>
    public StoreSet(
        IOptions<RegistryOptions> options,
        StoreOpener opener,
        LocalCache cache,
        TimeProvider time,
        RegistryMetrics metrics,
        LocationHealth health,
        ProcessMemory memory,
        ILogger<StoreSet> logger)
    {
        _cache = cache;
        Recent = new RecentBlocks(
            (int)(Math.Min(memory.Whole.Bytes / RecentShare, RecentMax) / BlobIndex.BlockBytes), memory.Disks);
        _time = time;
        _metrics = metrics;
        _health = health;
        _logger = logger;
        var sections = options.Value.Stores;
        if (sections.Count == 0)
        {
            sections = [new StoreSection { Id = "default", Path = Path.Combine(options.Value.DataDirectory, "blobs") }];
        }

        foreach (var section in sections)
        {
            _stores.Add(section.Id, new ConfiguredStore(opener.Open(section), section));
        }

        Default = _stores[(sections.FirstOrDefault(s => s.Default) ?? sections.First(s => s.TakesUploads)).Id].Blobs;
        All = [.. sections.Select(s => _stores[s.Id])];
    }

    /// <summary>What readers of the same image share.</summary>
    internal RecentBlocks Recent { get; }

    /// <summary>Where uploads go that name no store.</summary>
    public IBlobStore Default { get; }

    /// <summary>All stores, in the order of the configuration.</summary>
    public IReadOnlyList<ConfiguredStore> All { get; }

    /// <summary>Whether clients can choose: the API shows stores only then.</summary>
    public bool IsMultiple => All.Count > 1;

    /// <summary>Checks the stores that can be checked only by asking them.</summary>
    /// <exception cref="ConfigurationException">A store refuses us: its settings are wrong. One that cannot be reached
    /// is only logged, since it may come back.</exception>
    public async Task PrepareAsync(CancellationToken cancellationToken)
    {
        foreach (var store in All)
        {
            try
            {
                if (store.Blobs is S3BlobStore bucket)
                {
                    await bucket.PrepareAsync(cancellationToken);
                }
            }
            catch (StoreUnavailableException e) when (!e.MayPass)
            {
                throw new ConfigurationException($"Registry:Stores: {e.Message}");
            }
            catch (StoreUnavailableException e)
            {
                Log.Away(_logger, store.Settings.Id, e);
            }
        }
    }

    /// <summary>What is wrong with the room of the stores that take uploads, for health checks; null for nothing. Of a
    /// bucket it is not known.</summary>
    public string? RoomProblem() => All
        .Where(store => store.Settings.TakesUploads && store.Blobs is DirectoryBlobStore { FreeBytes: < RoomLeast })
        .Select(store => $"store_full: store '{store.Settings.Id}' is full")
        .FirstOrDefault();

    /// <summary>The store of an id that the database has.</summary>
    /// <exception cref="RegistryException">StoreUnavailable: the configuration has no such store any more.</exception>
    public IBlobStore Get(string id) =>
        _stores.TryGetValue(id, out var store)
            ? store.Blobs
            : throw new RegistryException(ErrorCode.StoreUnavailable, $"Store '{id}' is not configured.");

    /// <summary>The settings of a store; null when there is no such store.</summary>
    public ConfiguredStore? Find(string id) => _stores.GetValueOrDefault(id);

    /// <summary>The store that an upload names.</summary>
    /// <param name="id">Its id; null or empty for the default.</param>
    /// <exception cref="RegistryException">BadRequest: there is no such store. Gone: it is read-only.</exception>
    public IBlobStore ForUpload(string? id) =>
        string.IsNullOrEmpty(id) || !IsMultiple ? Default : RequireWritable(id);

    /// <summary>The store of an id, which bytes are about to go to.</summary>
    /// <exception cref="RegistryException">BadRequest: there is no such store. Gone: it is read-only.</exception>
    public IBlobStore RequireWritable(string id)
    {
        var store = Find(id) ?? throw new RegistryException(
            ErrorCode.BadRequest, $"There is no store '{Images.ImageRules.Shown(id)}'.", "unknown_store");
        return store.Settings.TakesUploads
            ? store.Blobs
            : throw new RegistryException(ErrorCode.Gone, $"Store '{id}' is read-only.", "store_read_only");
    }

    /// <summary>An image's locations as they are tried: weight first, age then; stores that failed a moment ago come
    /// after them, and what was found damaged last.</summary>
    public IReadOnlyList<ImageLocation> InOrder(IEnumerable<ImageLocation> locations)
    {
        return
        [
            .. locations
                .OrderBy(l => l.DamagedAt is not null)
                .ThenBy(l => _failedAt.TryGetValue(l.StoreId, out var at) && _time.GetElapsedTime(at) < Shunned)
                .ThenByDescending(l => Find(l.StoreId)?.Settings.Weight ?? int.MinValue)
                .ThenBy(l => l.CreatedAt),
        ];
    }

    /// <summary>Opens an image's bytes where they can be read: each location in its turn until one answers.</summary>
    /// <param name="image">The image; has one location at least.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">StoreUnavailable: no store of it is configured.</exception>
    /// <exception cref="IOException">None answers; this is what the first said.</exception>
    public ValueTask<StoredBlob> OpenAsync(Image image, CancellationToken cancellationToken) =>
        OpenAsync(image, [], cancellationToken);

    /// <summary>Opens the first of an image's locations that answers, beginning with those in preferred stores.</summary>
    /// <param name="image">The image.</param>
    /// <param name="preferred">Ids of stores in the order in which they are tried; the others follow.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">StoreUnavailable: no store of it is configured.</exception>
    /// <exception cref="IOException">None answers; this is what the first said.</exception>
    public async ValueTask<StoredBlob> OpenAsync(
        Image image, IReadOnlyList<string> preferred, CancellationToken cancellationToken)
    {
        var inOrder = InOrder(image.Locations).OrderBy(location =>
            preferred.TakeWhile(store => store != location.StoreId).Count());
        var blob = await StoredBlob.OpenAsync(this, inOrder, isCached: true, cancellationToken);
        _cache.Blocks?.Hit(blob.Key);
        return blob;
    }

    /// <summary>The same, for the server itself: does not count as a use of what is cached.</summary>
    internal ValueTask<StoredBlob> OpenQuietlyAsync(Image image, CancellationToken cancellationToken) =>
        StoredBlob.OpenAsync(this, InOrder(image.Locations), isCached: true, cancellationToken);

    /// <summary>The cache before a store; null for none.</summary>
    internal BlockCache? CacheOf(string storeId) => Find(storeId) is { Settings: var settings }
        && (settings.Cached ?? (settings.IsDistant || !All.Any(store => store.Settings.IsDistant)))
            ? _cache.Blocks
            : null;

    /// <summary>Whether a store is on another machine.</summary>
    internal bool IsDistant(string storeId) => Find(storeId) is { Settings.IsDistant: true };

    /// <summary>Forgets what is cached of an image that is no more.</summary>
    internal void ForgetCached(string imageId) => _cache.Forget(imageId);

    /// <summary>Remembers that reading failed: a store that is away is asked last for a while, a blob that is damaged is
    /// counted and marked, and its repair queued where its store takes bytes and another location may be whole.
    /// </summary>
    /// <param name="location">What was read.</param>
    /// <param name="failure">What came of it.</param>
    public async Task NoteFailureAsync(ImageLocation location, Exception failure)
    {
        switch (failure)
        {
            case BlobCorruptException corrupt:
                _metrics.Corrupt();
                Log.Damaged(_logger, location.ImageId, corrupt.StoreId, failure);
                await MarkAsync(corrupt);
                return;
            case StoreUnavailableException:
                _failedAt[location.StoreId] = _time.GetTimestamp();
                break;
        }

        Log.Skipped(_logger, location.ImageId, location.StoreId, failure);
    }

    // Whoever reads has an answer to give, whether or not it can be written down why.
    private async Task MarkAsync(BlobCorruptException corrupt)
    {
        try
        {
            var repair = Find(corrupt.StoreId) is { Settings.TakesUploads: true }
                ? RepairJob.Order(corrupt.Key.ImageId, corrupt.StoreId)
                : null;
            await _health.MarkAsync(corrupt.Key, corrupt.StoreId, repair, CancellationToken.None);
        }
        catch (Exception e) when (e is RegistryException or DbException)
        {
            Log.NotMarked(_logger, corrupt.Key.ImageId, corrupt.StoreId, e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var store in All)
        {
            (store.Blobs as IDisposable)?.Dispose();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "store {StoreId} cannot be used now; serving without it")]
        public static partial void Away(ILogger logger, string storeId, Exception exception);

        [LoggerMessage(2, LogLevel.Warning, "image {ImageId} cannot be read from store {StoreId}")]
        public static partial void Skipped(ILogger logger, string imageId, string storeId, Exception exception);

        [LoggerMessage(3, LogLevel.Error, "the bytes of image {ImageId} in store {StoreId} are damaged")]
        public static partial void Damaged(ILogger logger, string imageId, string storeId, Exception exception);

        [LoggerMessage(4, LogLevel.Error,
            "the damage of image {ImageId} in store {StoreId} could not be written down; a scrub will find it")]
        public static partial void NotMarked(ILogger logger, string imageId, string storeId, Exception exception);
    }
}
