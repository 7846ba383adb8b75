namespace Registry.Storage.Blobs.Cache;

/// <summary>Where blocks come from that the cache has not got.</summary>
/// <param name="FetchAsync">Fills a buffer with blocks, from an offset in the part. What it returns is right.</param>
/// <param name="VerifyAsync">Tells how many bytes, from the first, are what was uploaded: of blocks that the cache had.
/// </param>
internal sealed record BlockOrigin(
    Func<long, Memory<byte>, CancellationToken, Task> FetchAsync,
    Func<long, Memory<byte>, CancellationToken, ValueTask<int>> VerifyAsync);
