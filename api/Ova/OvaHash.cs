using System.Security.Cryptography;

namespace Registry.Api.Ova;

/// <summary>Compares the bytes of a member of an archive with the digests that the manifest states of it.</summary>
internal sealed class OvaHash : IDisposable
{
    private readonly string _name;
    private readonly IReadOnlyList<OvaDigest> _stated;
    private readonly IncrementalHash[] _hashes;

    /// <param name="name">The member.</param>
    /// <param name="stated">Its digests; none for nothing to compare.</param>
    public OvaHash(string name, IReadOnlyList<OvaDigest> stated)
    {
        (_name, _stated) = (name, stated);
        _hashes = [.. stated.Select(digest => digest.Algorithm).Distinct().Select(IncrementalHash.CreateHash)];
    }

    /// <summary>Takes the next bytes.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        foreach (var hash in _hashes)
        {
            hash.AppendData(bytes);
        }
    }

    /// <summary>Compares, once all bytes are there.</summary>
    /// <exception cref="Storage.Domain.RegistryException">ImageRejected: a digest is another one.</exception>
    public void Require()
    {
        foreach (var hash in _hashes)
        {
            var (found, algorithm) = (hash.GetHashAndReset(), hash.AlgorithmName);
            if (_stated.Any(digest => digest.Algorithm == algorithm && !found.AsSpan().SequenceEqual(digest.Value)))
            {
                throw OvaManifest.Refused(
                    $"the {algorithm.Name} of {Shown(_name)} is not that of its manifest; "
                    + "the file is damaged or was changed");
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var hash in _hashes)
        {
            hash.Dispose();
        }
    }

    // The name is the maker's: letters, digits and a few others only, and few of them.
    private static string Shown(string name)
    {
        var plain = new string([.. name.Where(c => char.IsLetterOrDigit(c) || " ._-/".Contains(c)).Take(80)]);
        return $"'{plain}'";
    }
}
