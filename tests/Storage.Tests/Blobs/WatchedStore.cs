using Registry.Storage.Blobs;

namespace Registry.Storage.Tests.Blobs;

/// <summary>A store between whose steps something else happens, as when the process that uses it was stopped.</summary>
internal sealed class WatchedStore(IBlobStore store) : IBlobStore
{
    public string Id => store.Id;

    /// <summary>Happens once, before the next deletion.</summary>
    public Func<Task>? BeforeDelete { get; set; }

    /// <summary>Happens once, after everything was listed and before the caller sees it.</summary>
    public Func<Task>? AfterList { get; set; }

    public ValueTask<IBlobWriter> BeginAsync(BlobKey key, long? expectedLength, CancellationToken cancellationToken) =>
        store.BeginAsync(key, expectedLength, cancellationToken);

    public ValueTask<int> ReadAsync(
        BlobKey key, BlobPart part, long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        store.ReadAsync(key, part, offset, buffer, cancellationToken);

    public ValueTask<BlobStat?> StatAsync(BlobKey key, CancellationToken cancellationToken) =>
        store.StatAsync(key, cancellationToken);

    public async ValueTask DeleteAsync(BlobKey key, CancellationToken cancellationToken)
    {
        var happens = BeforeDelete;
        BeforeDelete = null;
        await (happens?.Invoke() ?? Task.CompletedTask);
        await store.DeleteAsync(key, cancellationToken);
    }

    public async IAsyncEnumerable<BlobEntry> ListAsync(
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var entries = await store.ListAsync(cancellationToken).ToListAsync(cancellationToken);
        var happens = AfterList;
        AfterList = null;
        await (happens?.Invoke() ?? Task.CompletedTask);
        foreach (var entry in entries)
        {
            yield return entry;
        }
    }

    public ValueTask<IReadOnlyList<string>> TidyAsync(
        DateTimeOffset youngest, bool isRemoved, CancellationToken cancellationToken) =>
        store.TidyAsync(youngest, isRemoved, cancellationToken);
}
