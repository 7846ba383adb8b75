namespace Registry.Storage.Blobs;

/// <summary>Keeps blobs. Nothing is visible before a writer commits.</summary>
public interface IBlobStore
{
    /// <summary>The store's id in the configuration.</summary>
    string Id { get; }

    /// <summary>Bytes of memory that a writer needs to make progress, beyond a few KiB.</summary>
    /// <param name="expectedLength">Length of the data in bytes; null when unknown.</param>
    long WriterBytes(long? expectedLength) => 0;

    /// <summary>Starts to write a blob.</summary>
    /// <param name="key">Must not exist yet.</param>
    /// <param name="expectedLength">Length of the data in bytes where the client stated it; a hint only.</param>
    /// <param name="cancellationToken">Cancels the start.</param>
    ValueTask<IBlobWriter> BeginAsync(BlobKey key, long? expectedLength, CancellationToken cancellationToken);

    /// <summary>Fills <paramref name="buffer"/> from a committed blob.</summary>
    /// <returns>Bytes read; less than the buffer only where the part ends.</returns>
    /// <exception cref="BlobNotFoundException">There is no such blob.</exception>
    /// <exception cref="IOException">The store failed.</exception>
    ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken);

    /// <summary>Lengths of a committed blob's parts in bytes; null when there is none.</summary>
    ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken);

    /// <summary>Removes a blob, committed or half-written. Removing what is not there is no error.</summary>
    ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken);

    /// <summary>Lists everything in the store, half-written blobs too.</summary>
    IAsyncEnumerable<BlobEntry> ListAsync(CancellationToken cancellationToken);

    /// <summary>Finds what belongs to no blob and holds no bytes, such as the empty directory of an image whose last
    /// deletion was killed between two steps.</summary>
    /// <param name="youngest">What changed later is left out.</param>
    /// <param name="isRemoved">Whether to remove it, which never removes what has been filled meanwhile.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The images that it is of.</returns>
    /// <exception cref="IOException">The store failed.</exception>
    ValueTask<IReadOnlyList<string>> TidyAsync(
        DateTimeOffset youngest, bool isRemoved, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<string>>([]);
}

/// <summary>Writes one blob: data and index side by side, then commit. Disposing without commit cancels.</summary>
/// <remarks>For one caller at a time.</remarks>
public interface IBlobWriter : IAsyncDisposable
{
    /// <summary>Appends to a part. The parts may alternate: pages of the index are done while the data goes by. The
    /// bytes are the caller's again when the call returns.</summary>
    /// <exception cref="StoreFullException">The store has no room.</exception>
    /// <exception cref="IOException">The store failed; the blob is lost, cancel.</exception>
    ValueTask AppendAsync(BlobPart part, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken);

    /// <summary>Reads back what was appended, before the commit. Same rules as
    /// <see cref="IBlobStore.ReadAsync"/>.</summary>
    ValueTask<int> ReadAsync(BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken);

    /// <summary>Makes the blob durable and visible. After it returns, a power cut does not lose the blob.</summary>
    /// <exception cref="IOException">The store failed; nothing is visible.</exception>
    ValueTask CommitAsync(CancellationToken cancellationToken);
}

/// <summary>Lengths of a committed blob in bytes.</summary>
public readonly record struct BlobStat(long DataLength, long IndexLength);

/// <summary>One blob found in a store.</summary>
/// <param name="Key">Its key.</param>
/// <param name="IsCommitted">False for a half-written one.</param>
/// <param name="ModifiedAt">When it last changed.</param>
public readonly record struct BlobEntry(BlobKey Key, bool IsCommitted, DateTimeOffset ModifiedAt);

/// <summary>The store has no such blob.</summary>
public sealed class BlobNotFoundException(BlobKey key)
    : IOException($"Blob {key.ImageId}/{key.Generation} is not in the store.");

/// <summary>What the store returned is not what was uploaded, twice in a row.</summary>
public sealed class BlobCorruptException(string storeId, BlobKey key, BlobPart part, long offset)
    : IOException(
        $"Blob {key.ImageId}/{key.Generation} in store '{storeId}' is damaged: {part} at byte {offset} does not match " +
        "its digest.")
{
    /// <summary>The store.</summary>
    public string StoreId { get; } = storeId;

    /// <summary>The blob.</summary>
    public BlobKey Key { get; } = key;

    /// <summary>The damaged part.</summary>
    public BlobPart Part { get; } = part;

    /// <summary>Where in the part the damaged stretch begins, in bytes.</summary>
    public long Offset { get; } = offset;
}
