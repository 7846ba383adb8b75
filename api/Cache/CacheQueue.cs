using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Cache;

/// <summary>Images that somebody wants in the cache: an empty file each, so that a restart forgets none.</summary>
internal sealed class CacheQueue
{
    private readonly string _directory;
    private readonly TimeProvider _clock;

    /// <summary>Opens the queue, making its directory where there is none.</summary>
    /// <exception cref="IOException">The directory cannot be made.</exception>
    public CacheQueue(string directory, TimeProvider clock)
    {
        _directory = directory;
        _clock = clock;
        DurableDirectory.Create(directory);
    }

    /// <summary>What waits, longest first.</summary>
    public IReadOnlyList<(string ImageId, DateTimeOffset Since)> List()
    {
        try
        {
            return
            [
                .. new DirectoryInfo(_directory).GetFiles()
                    .Where(file => BlobLayout.IsCanonicalId(file.Name))
                    .Select(file => (file.Name, new DateTimeOffset(file.LastWriteTimeUtc, TimeSpan.Zero)))
                    .OrderBy(waiting => waiting.Item2),
            ];
        }
        catch (DirectoryNotFoundException)
        {
            return []; // somebody removed it; it is made again with the next image
        }
    }

    /// <summary>Whether an image waits.</summary>
    public bool Has(string imageId) => BlobLayout.IsCanonicalId(imageId) && File.Exists(PathOf(imageId));

    /// <summary>Puts an image last; one that waits keeps its place.</summary>
    /// <exception cref="RegistryException">StoreUnavailable: the directory takes no file.</exception>
    public void Add(string imageId)
    {
        if (Has(imageId))
        {
            return;
        }

        try
        {
            Directory.CreateDirectory(_directory);
            File.WriteAllBytes(PathOf(imageId), []);
            File.SetLastWriteTimeUtc(PathOf(imageId), _clock.GetUtcNow().UtcDateTime);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new RegistryException(
                ErrorCode.StoreUnavailable, "The cache's queue cannot be written.", "cache_not_writable");
        }
    }

    /// <summary>Takes an image out; one that does not wait is no error.</summary>
    /// <returns>Whether it waited.</returns>
    public bool Remove(string imageId)
    {
        if (!Has(imageId))
        {
            return false;
        }

        try
        {
            File.Delete(PathOf(imageId));
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // it stays, and is fetched once more
        }
    }

    private string PathOf(string imageId) => Path.Combine(_directory, imageId);
}
