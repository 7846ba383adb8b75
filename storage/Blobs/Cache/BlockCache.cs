using Microsoft.Extensions.Logging;

namespace Registry.Storage.Blobs.Cache;

/// <summary>Blocks of blobs on a local disk, so that a distant store is asked for each of them once, however many read
/// it.</summary>
/// <remarks>
/// <code>
/// {directory}/
///   lock                                             held by the process that uses the directory
///   blocks/
///     {image id}.{generation}.data.{n}               64 MiB of a blob's data: a sparse file, blocks at their offsets
///     {image id}.{generation}.index.{n}              the same of its index
/// </code>
/// Nothing here is trusted: what is read back is checked against the digests that the image's row vouches for, and what
/// does not fit is fetched again. So nothing is flushed, and what a crash left is found by asking the files where they
/// have data. The files used longest ago go when there is no room. A disk that fails or is full costs the cache, never
/// a read.
/// </remarks>
public sealed partial class BlockCache : IDisposable
{
    /// <summary>How long nothing is added after the disk refused.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(15);

    /// <summary>How exactly a file's time tells when it was used.</summary>
    private static readonly TimeSpan NotedEvery = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<CacheName, CacheSegment> _segments = [];
    private readonly Dictionary<BlobKey, CachedBlob> _blobs = [];
    private readonly LinkedList<CacheSegment> _lastUsedFirst = [];
    private readonly string _directory;
    private readonly FileStream _held;
    private readonly long _blocksMax;
    private readonly TimeProvider _time;
    private readonly ILogger<BlockCache> _logger;
    private long _blocks;
    private long _numbers;
    private long _servedBytes;
    private long _addedBytes;
    private long _droppedBytes;
    private DateTimeOffset _pausedUntil;

    /// <summary>Opens a cache, making its directory where there is none, and finds out what is in it.</summary>
    /// <param name="directory">Its directory, for this process alone.</param>
    /// <param name="maxBytes">Most bytes of blocks on the disk, 1 MiB or more.</param>
    /// <param name="time">Clock.</param>
    /// <param name="logger">Hears of damage and of a disk that fails.</param>
    /// <exception cref="IOException">The directory cannot be made, or another process has it.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory cannot be used.</exception>
    public BlockCache(string directory, long maxBytes, TimeProvider time, ILogger<BlockCache> logger)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1 << 20);
        _directory = Path.Combine(Path.GetFullPath(directory), "blocks");
        _blocksMax = maxBytes / BlobIndex.BlockBytes;
        _time = time;
        _logger = logger;
        DurableDirectory.Create(_directory);
        _held = new FileStream(
            Path.Combine(directory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        try
        {
            Remember();
            Prune();
        }
        catch
        {
            _held.Dispose();
            throw;
        }
    }

    /// <summary>Bytes of blocks on the disk.</summary>
    public long Bytes => Volatile.Read(ref _blocks) * BlobIndex.BlockBytes;

    /// <summary>Bytes read from the cache so far.</summary>
    public long ServedBytes => Volatile.Read(ref _servedBytes);

    /// <summary>Bytes added to the cache so far.</summary>
    public long AddedBytes => Volatile.Read(ref _addedBytes);

    /// <summary>Bytes given up so far: for want of room, damaged, or because somebody wished it.</summary>
    public long DroppedBytes => Volatile.Read(ref _droppedBytes);

    /// <summary>What is here, last used first.</summary>
    public IReadOnlyList<CacheEntry> List()
    {
        lock (_lock)
        {
            return [.. _blobs.Values.Select(blob => blob.Describe()).OrderByDescending(entry => entry.UsedAt)];
        }
    }

    /// <summary>Gives up some blobs. What is being read of them meanwhile is read all the same.</summary>
    public CacheDrop Drop(Predicate<BlobKey> which)
    {
        var dropped = new List<CacheSegment>();
        int blobs;
        lock (_lock)
        {
            var chosen = _blobs.Values.Where(blob => which(blob.Key)).ToList();
            blobs = chosen.Count;
            foreach (var segment in chosen.SelectMany(blob => blob.Segments.ToList()))
            {
                GiveUp(segment, dropped);
            }
        }

        return Remove(dropped, blobs);
    }

    /// <summary>Gives up the files used longest ago until there is room again.</summary>
    public CacheDrop Prune() => Prune(_blocksMax);

    /// <inheritdoc/>
    public void Dispose() => _held.Dispose();

    /// <summary>Counts that a blob is opened for a reader, where some of its data is here.</summary>
    public void Hit(BlobKey key)
    {
        lock (_lock)
        {
            if (_blobs.TryGetValue(key, out var blob) && blob.Segments.Any(s => s.Name.Part == BlobPart.Data))
            {
                blob.Hits++;
            }
        }
    }

    /// <summary>Whether it is known how much data a blob has.</summary>
    internal bool KnowsTotal(BlobKey key)
    {
        lock (_lock)
        {
            return !_blobs.TryGetValue(key, out var blob) || blob.TotalBlocks is not null;
        }
    }

    /// <summary>Says how many blocks of a blob hold a byte that is not zero.</summary>
    internal void SetTotal(BlobKey key, long blocks)
    {
        lock (_lock)
        {
            if (_blobs.TryGetValue(key, out var blob))
            {
                blob.TotalBlocks = blocks;
            }
        }
    }

    private CacheDrop Prune(long most)
    {
        var dropped = new List<CacheSegment>();
        int before;
        int after;
        lock (_lock)
        {
            before = _blobs.Count;
            while (_blocks > most && _lastUsedFirst.Last is { } last)
            {
                GiveUp(last.Value, dropped);
            }

            after = _blobs.Count;
        }

        return Remove(dropped, before - after);
    }

    // The caller holds the lock, and removes the files when it has let go.
    private void GiveUp(CacheSegment segment, List<CacheSegment> dropped)
    {
        segment.IsGone = true;
        _segments.Remove(segment.Name);
        _lastUsedFirst.Remove(segment.Node);
        _blocks -= segment.DataBlocks;
        segment.Blob.Segments.Remove(segment);
        if (segment.Blob.Segments.Count == 0)
        {
            _blobs.Remove(segment.Blob.Key);
        }

        dropped.Add(segment);
    }

    private CacheDrop Remove(List<CacheSegment> dropped, int blobs)
    {
        var blocks = dropped.Sum(segment => (long)segment.DataBlocks);
        foreach (var segment in dropped)
        {
            Remove(segment.Path);
        }

        Interlocked.Add(ref _droppedBytes, blocks * BlobIndex.BlockBytes);
        return new CacheDrop(
            blobs, dropped.Count(segment => segment.DataBlocks > 0), blocks * BlobIndex.BlockBytes);
    }

    private void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (DirectoryDisk.IsFailure(e))
        {
            Log.NotRemoved(_logger, path, e.Message);
        }
    }

    // What a predecessor left, whether it ended well or not.
    private void Remember()
    {
        var found = new List<(DateTimeOffset UsedAt, CacheSegment Segment)>();
        foreach (var file in new DirectoryInfo(_directory).EnumerateFiles())
        {
            if (!CacheName.TryParse(file.Name, out var name))
            {
                continue; // not ours
            }

            var modified = new DateTimeOffset(file.LastWriteTimeUtc, TimeSpan.Zero);
            var used = new DateTimeOffset(file.LastAccessTimeUtc, TimeSpan.Zero);
            used = used > modified ? used : modified;
            if (!_blobs.TryGetValue(name.Key, out var blob))
            {
                _blobs.Add(name.Key, blob = new CachedBlob(name.Key, ++_numbers, modified));
            }

            var segment = new CacheSegment(name, file.FullName, blob) { NotedAt = used };
            Remember(segment);
            if (segment.DataBlocks > 0)
            {
                blob.Segments.Add(segment);
                blob.UsedAt = used > blob.UsedAt ? used : blob.UsedAt;
                blob.ModifiedAt = modified > blob.ModifiedAt ? modified : blob.ModifiedAt;
                found.Add((used, segment));
            }
            else
            {
                Remove(file.FullName);
            }
        }

        foreach (var (_, segment) in found.OrderBy(one => one.UsedAt))
        {
            _segments.Add(segment.Name, segment);
            _lastUsedFirst.AddFirst(segment.Node);
            _blocks += segment.DataBlocks;
        }

        foreach (var empty in _blobs.Values.Where(blob => blob.Segments.Count == 0).ToList())
        {
            _blobs.Remove(empty.Key);
        }
    }

    private void Remember(CacheSegment segment)
    {
        try
        {
            using var handle = DirectoryDisk.OpenRead(segment.Path);
            foreach (var (from, until) in handle is null ? [] : CacheFile.Runs(handle))
            {
                var end = Math.Min(until, CacheSegment.SpanBytes);
                if (from < end)
                {
                    segment.Find(
                        (int)(from / BlobIndex.BlockBytes),
                        (int)((end + BlobIndex.BlockBytes - 1) / BlobIndex.BlockBytes));
                }
            }
        }
        catch (Exception e) when (DirectoryDisk.IsFailure(e))
        {
            segment.Forget(0, CacheSegment.Blocks);
            Log.NotRead(_logger, segment.Path, e.Message);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "{Path} cannot be removed: {Reason}")]
        public static partial void NotRemoved(ILogger logger, string path, string reason);

        [LoggerMessage(2, LogLevel.Warning, "{Path} in the cache cannot be read: {Reason}")]
        public static partial void NotRead(ILogger logger, string path, string reason);

        [LoggerMessage(3, LogLevel.Warning,
            "{Path} in the cache is damaged at byte {Offset}; what was there is fetched again")]
        public static partial void Damaged(ILogger logger, string path, long offset);

        [LoggerMessage(4, LogLevel.Warning,
            "the cache cannot write and adds nothing for {Seconds} s: {Reason}; images are read from their stores")]
        public static partial void Paused(ILogger logger, double seconds, string reason);
    }
}
