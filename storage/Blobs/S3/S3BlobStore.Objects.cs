using Registry.Storage.Blobs.Remote;

namespace Registry.Storage.Blobs.S3;

/// <content>Objects that others put into the bucket.</content>
public sealed partial class S3BlobStore : IObjectSource
{
    // For errors only; no blob has it.
    private static readonly BlobKey _noBlob = new("", 0);

    /// <inheritdoc/>
    public bool Offers(string name)
    {
        if (!name.StartsWith(_options.Prefix, StringComparison.Ordinal))
        {
            return false;
        }

        var rest = name[_options.Prefix.Length..];
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        return rest.Length > 0 && !BlobLayout.IsCanonicalId(slash < 0 ? rest : rest[..slash]);
    }

    /// <inheritdoc/>
    public async ValueTask<ObjectStat?> StatObjectAsync(string name, CancellationToken cancellationToken)
    {
        RequireOffered(name);
        try
        {
            return await _bytes.ProbeAsync(() => _bucket.SignGetAsync(name), cancellationToken).ConfigureAwait(false);
        }
        catch (StoreStatusException refused) when (refused.IsNotFound)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<int> ReadObjectAsync(
        string name, long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        RequireOffered(name);
        try
        {
            return await _bytes.ReadObjectAsync(
                _noBlob, () => _bucket.SignGetAsync(name), offset, buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (BlobNotFoundException)
        {
            throw new ObjectNotFoundException(Id);
        }
    }

    private void RequireOffered(string name)
    {
        if (!Offers(name))
        {
            throw new ArgumentException("The object is not one that may be taken over.", nameof(name));
        }
    }
}
