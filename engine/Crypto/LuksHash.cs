using System.Security.Cryptography;
using Registry.Engine.Disks;

namespace Registry.Engine.Crypto;

/// <summary>The hashes that a LUKS header may name.</summary>
internal static class LuksHash
{
    /// <summary>The hash of a name.</summary>
    /// <exception cref="ImageFormatException">It is not supported.</exception>
    public static HashAlgorithmName Parse(string name) => name switch
    {
        "sha1" => HashAlgorithmName.SHA1,
        "sha256" => HashAlgorithmName.SHA256,
        "sha384" => HashAlgorithmName.SHA384,
        "sha512" => HashAlgorithmName.SHA512,
        _ => throw new ImageFormatException(
            FormatError.UnsupportedFeature, $"The hash \"{name}\" of the encryption header is not supported."),
    };

    /// <summary>Bytes of a digest.</summary>
    public static int Bytes(HashAlgorithmName hash) => hash.Name switch
    {
        "SHA1" => 20,
        "SHA256" => 32,
        "SHA384" => 48,
        _ => 64,
    };
}
