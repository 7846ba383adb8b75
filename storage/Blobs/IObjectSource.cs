namespace Registry.Storage.Blobs;

/// <summary>A store that lets the objects be read which others put beside its blobs, to take their bytes over.</summary>
/// <remarks>The blobs themselves cannot be read this way: their bytes belong to images.</remarks>
public interface IObjectSource
{
    /// <summary>Whether a name is in the part of the store that is the registry's, and is no part of a blob.</summary>
    /// <param name="name">The object's whole name.</param>
    bool Offers(string name);

    /// <summary>Asks what an object is; null when there is none.</summary>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    ValueTask<ObjectStat?> StatObjectAsync(string name, CancellationToken cancellationToken);

    /// <summary>Fills a buffer from an object.</summary>
    /// <returns>Bytes read; less than the buffer only where the object ends.</returns>
    /// <exception cref="ObjectNotFoundException">There is no such object any more.</exception>
    /// <exception cref="StoreUnavailableException">The store failed.</exception>
    ValueTask<int> ReadObjectAsync(
        string name, long offset, Memory<byte> buffer, CancellationToken cancellationToken);
}

/// <summary>What an object is.</summary>
/// <param name="Length">Its length in bytes.</param>
/// <param name="Version">The store's word for its content: another one, other bytes.</param>
public readonly record struct ObjectStat(long Length, string Version);

/// <summary>The store has no such object.</summary>
public sealed class ObjectNotFoundException(string storeId)
    : IOException($"The object is not in store '{storeId}'.");
