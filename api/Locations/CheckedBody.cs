using System.Security.Cryptography;
using Registry.Api.ImageData;
using Registry.Storage.Domain;

namespace Registry.Api.Locations;

/// <summary>A body that fails at its end where there were no bytes, or not those that were promised. Nothing that is read
/// from it can be kept before that.</summary>
internal sealed class CheckedBody : IUploadBody, IDisposable
{
    private readonly IUploadBody _body;
    private readonly List<(IncrementalHash Hash, string Expected, string Name)> _checks = [];
    private long _length;
    private bool _hasEnded;

    /// <summary>Wraps a body, which is disposed of with this one.</summary>
    public CheckedBody(IUploadBody body, NewLocation promised)
    {
        _body = body;
        Add(HashAlgorithmName.MD5, promised.Checksum, "checksum");
        Add(NameOf(promised.Algorithm), promised.Hash, "os_hash_value");
    }

    /// <inheritdoc/>
    public long? Length => _body.Length;

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

    private static HashAlgorithmName NameOf(string? algorithm) => algorithm switch
    {
        "md5" => HashAlgorithmName.MD5,
        "sha1" => HashAlgorithmName.SHA1,
        "sha256" => HashAlgorithmName.SHA256,
        _ => HashAlgorithmName.SHA512,
    };

    private void Add(HashAlgorithmName algorithm, string? expected, string name)
    {
        if (expected is not null)
        {
            _checks.Add((IncrementalHash.CreateHash(algorithm), expected, name));
        }
    }

    private void RequirePromised()
    {
        if (_length == 0)
        {
            throw new RegistryException(ErrorCode.BadRequest, "The location is empty.", "location_empty");
        }

        foreach (var (hash, expected, name) in _checks)
        {
            if (Convert.ToHexStringLower(hash.GetHashAndReset()) != expected)
            {
                throw new RegistryException(
                    ErrorCode.BadRequest, $"The bytes at the location do not have the {name} that was given.",
                    "hash_mismatch");
            }
        }
    }
}
