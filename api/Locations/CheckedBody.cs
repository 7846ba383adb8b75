using System.Security.Cryptography;
using Registry.Api.ImageData;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>A body that fails at its end where there were no bytes, or not those that were promised. Nothing that is read
/// from it can be kept before that.</summary>
internal sealed class CheckedBody : IUploadBody, IDisposable
{
    private readonly IUploadBody _body;
    private readonly bool _mayBeEmpty;
    private readonly List<(IncrementalHash Hash, string Expected, string Name)> _checks = [];
    private long _length;
    private bool _hasEnded;

    /// <summary>Wraps a body, which is disposed of with this one.</summary>
    public CheckedBody(IUploadBody body, NewLocation promised)
    {
        _body = body;
        Add(HashAlgorithmName.MD5, promised.Checksum, "checksum");
        if (promised.Hash is not null)
        {
            Add(ImageHashes.Find(promised.Algorithm)!.Value, promised.Hash, "os_hash_value"); // no other can be promised
        }
    }

    private CheckedBody(IUploadBody body) => (_body, _mayBeEmpty) = (body, true);

    /// <inheritdoc/>
    public long? Length => _body.Length;

    /// <summary>Wraps the bytes of an image that another image service has.</summary>
    /// <param name="body">The bytes, disposed of with this one.</param>
    /// <param name="checksum">Their MD5; null when it is not known.</param>
    /// <param name="algorithm">Algorithm of <paramref name="hash"/>; one that nobody here knows is passed over where there
    /// is a checksum.</param>
    /// <param name="hash">Their hash; null when it is not known.</param>
    /// <exception cref="RegistryException">BadRequest: nothing is known that they can be compared with.</exception>
    public static CheckedBody OfImage(IUploadBody body, string? checksum, string? algorithm, string? hash)
    {
        var known = hash is null ? null : ImageHashes.Find(algorithm);
        if (known is null && checksum is null)
        {
            throw new RegistryException(
                ErrorCode.BadRequest, "The image has no hash that its bytes could be compared with.", "source_hash_unknown");
        }

        var wrapped = new CheckedBody(body);
        wrapped.Add(HashAlgorithmName.MD5, checksum, "checksum");
        if (known is { } found)
        {
            wrapped.Add(found, hash, "os_hash_value");
        }

        return wrapped;
    }

    /// <inheritdoc/>
    /// <exception cref="RegistryException">BadRequest: there are no bytes, or others than were promised.</exception>
    public async ValueTask<int> FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var filled = await _body.FillAsync(buffer, cancellationToken);
        _length += filled;
        foreach (var (hash, _, _) in _checks)
        {
            hash.AppendData(buffer.Span[..filled]);
        }

        if (filled < buffer.Length && !_hasEnded)
        {
            _hasEnded = true;
            RequirePromised();
        }

        return filled;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _checks.ForEach(check => check.Hash.Dispose());
        (_body as IDisposable)?.Dispose();
    }

    private void Add(HashAlgorithmName algorithm, string? expected, string name)
    {
        if (expected is not null)
        {
            _checks.Add((IncrementalHash.CreateHash(algorithm), expected, name));
        }
    }

    private void RequirePromised()
    {
        if (_length == 0 && !_mayBeEmpty)
        {
            throw new RegistryException(ErrorCode.BadRequest, "The location is empty.", "location_empty");
        }

        foreach (var (hash, expected, name) in _checks)
        {
            if (Convert.ToHexStringLower(hash.GetHashAndReset()) != expected)
            {
                throw new RegistryException(
                    ErrorCode.BadRequest, $"The bytes do not have the {name} that was given.",
                    "hash_mismatch");
            }
        }
    }
}
