using System.Security.Cryptography;

namespace Registry.Api.ImageData;

/// <summary>The algorithms of the hashes that images have elsewhere (os_hash_algo), as far as they can be computed
/// here.</summary>
internal static class ImageHashes
{
    /// <summary>Finds an algorithm.</summary>
    /// <param name="name">As Glance writes it, such as sha512.</param>
    /// <returns>Null when there is none of that name, or not on this machine.</returns>
    public static HashAlgorithmName? Find(string? name) => name switch
    {
        "md5" => HashAlgorithmName.MD5,
        "sha1" => HashAlgorithmName.SHA1,
        "sha256" => HashAlgorithmName.SHA256,
        "sha384" => HashAlgorithmName.SHA384,
        "sha512" => HashAlgorithmName.SHA512,
        "sha3_256" when SHA3_256.IsSupported => HashAlgorithmName.SHA3_256,
        "sha3_384" when SHA3_384.IsSupported => HashAlgorithmName.SHA3_384,
        "sha3_512" when SHA3_512.IsSupported => HashAlgorithmName.SHA3_512,
        _ => null,
    };
}
