using Registry.Storage.Blobs;
using Registry.Storage.Domain;

namespace Registry.Api.Stores;

/// <summary>An image's verified bytes, wherever they are: when the store they are read from fails, or has damaged them,
/// the next of the image's stores goes on from there.</summary>
/// <remarks>All copies of an image have one index digest, so what one store began another can continue. Reads are
/// positional and may run in parallel.</remarks>
public sealed class StoredBlob : IVerifiedBytes, IDisposable
{
    private readonly Lock _turn = new();
    private readonly StoreSet _stores;
    private readonly bool _isCached;
    private readonly Queue<ImageLocation> _others;
    private ImageLocation _location;
    private VerifiedBlob _blob;
    private Task<bool>? _move;
    private bool _isShared;
    private long _bytesRead;
    private long _indexBytesRead;

    private StoredBlob(
        StoreSet stores, ImageLocation location, VerifiedBlob blob, Queue<ImageLocation> others, bool isCached) =>
        (_stores, _location, _blob, _others, _isCached) = (stores, location, blob, others, isCached);

    /// <summary>The blob that is read now.</summary>
    internal BlobKey Key => _location.Key;

    /// <summary>Length in bytes.</summary>
    public long Length => _location.DataLength;

    /// <summary>Whether the store it is read from now is on another machine, so that each read costs a request.</summary>
    public bool IsDistant => _stores.IsDistant(_location.StoreId);

    /// <inheritdoc cref="VerifiedBlob.MapLength"/>
    public long MapLength => _blob.MapLength;

    /// <summary>Bytes read from stores so far: data and index.</summary>
    public long BytesRead => _bytesRead + _blob.BytesRead;

    /// <summary>Bytes of index read from stores so far.</summary>
    public long IndexBytesRead => _indexBytesRead + _blob.IndexBytesRead;

    /// <summary>Opens the first of an image's locations that answers.</summary>
    /// <param name="stores">The stores.</param>
    /// <param name="inOrder">The image's locations as they are to be tried; one at least.</param>
    /// <param name="isCached">Whether to read through the cache where the store has one.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <exception cref="RegistryException">StoreUnavailable: no store of it is configured.</exception>
    /// <exception cref="IOException">None answers; this is what the first said.</exception>
    internal static async ValueTask<StoredBlob> OpenAsync(
        StoreSet stores, IEnumerable<ImageLocation> inOrder, bool isCached, CancellationToken cancellationToken)
    {
        Exception? first = null;
        var others = new Queue<ImageLocation>(inOrder);
        while (others.TryDequeue(out var location))
        {
            try
            {
                var blob = await VerifiedBlob.OpenAsync(
                    stores.Get(location.StoreId), location, isCached ? stores.CacheOf(location.StoreId) : null,
                    cancellationToken);
                return new StoredBlob(stores, location, blob, others, isCached);
            }
            catch (Exception e) when (IsOfTheStore(e))
            {
                first ??= e;
                await stores.NoteFailureAsync(location, e);
            }
        }

        throw first!;
    }

    /// <summary>From now on it shares what it reads with those that read the same image at the same time, until it is
    /// disposed.</summary>
    internal void Share()
    {
        _isShared = true;
        _blob.Share(_stores.Recent);
    }

    /// <inheritdoc/>
    public void Dispose() => _blob.Dispose();

    /// <inheritdoc cref="VerifiedBlob.ReadAsync"/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        AskAsync(blob => blob.ReadAsync(offset, buffer, cancellationToken));

    /// <inheritdoc cref="VerifiedBlob.RunAsync"/>
    public ValueTask<BlobRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        AskAsync(blob => blob.RunAsync(offset, cancellationToken));

    /// <inheritdoc cref="VerifiedBlob.ReadMapAsync"/>
    public ValueTask<int> ReadMapAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        AskAsync(blob => blob.ReadMapAsync(offset, buffer, cancellationToken));

    private async ValueTask<T> AskAsync<T>(Func<VerifiedBlob, ValueTask<T>> question)
    {
        while (true)
        {
            var blob = Volatile.Read(ref _blob);
            try
            {
                return await question(blob);
            }
            catch (Exception e) when (IsOfTheStore(e))
            {
                if (!await MoveAsync(blob, e))
                {
                    throw;
                }
            }
        }
    }

    // Reads that fail together move once.
    private Task<bool> MoveAsync(VerifiedBlob failed, Exception cause)
    {
        lock (_turn)
        {
            return failed == _blob ? _move ??= MoveAsync(cause) : Task.FromResult(true);
        }
    }

    private async Task<bool> MoveAsync(Exception cause)
    {
        await Task.Yield(); // the lock is held no longer
        await _stores.NoteFailureAsync(_location, cause);
        while (_others.TryDequeue(out var location))
        {
            try
            {
                var blob = await VerifiedBlob.OpenAsync(
                    _stores.Get(location.StoreId), location, _isCached ? _stores.CacheOf(location.StoreId) : null,
                    CancellationToken.None); // for everybody who reads
                if (_isShared)
                {
                    blob.Share(_stores.Recent);
                    _blob.Dispose();
                }

                lock (_turn)
                {
                    _bytesRead += _blob.BytesRead;
                    _indexBytesRead += _blob.IndexBytesRead;
                    (_location, _move) = (location, null);
                    Volatile.Write(ref _blob, blob);
                }

                return true;
            }
            catch (Exception e) when (IsOfTheStore(e))
            {
                await _stores.NoteFailureAsync(location, e);
            }
        }

        return false; // and stays so: there is nowhere to go
    }

    private static bool IsOfTheStore(Exception exception) =>
        exception is IOException or UnauthorizedAccessException or RegistryException;
}
