using Registry.Storage.Domain;

namespace Registry.Api.ImageData;

/// <summary>The header <c>Repr-Digest</c> (RFC 9530): the SHA-512 of a whole image, with which a client checks what it
/// downloaded and the registry what it was sent.</summary>
internal static class ReprDigest
{
    /// <summary>The header's name.</summary>
    public const string Header = "Repr-Digest";

    private const string Sha512 = "sha-512";
    private const int Sha512Bytes = 64;

    /// <summary>Sets the header of an answer whose representation is the stored image, whole or a range of it.</summary>
    public static void Write(HttpResponse response, Image image)
    {
        if (image.HashAlgorithm == "sha512" && image.HashValue is { Length: 2 * Sha512Bytes } value)
        {
            response.Headers[Header] = Format(value);
        }
    }

    /// <summary>The header's value for a SHA-512 in hexadecimal.</summary>
    public static string Format(string sha512) => $"{Sha512}=:{Convert.ToBase64String(Convert.FromHexString(sha512))}:";

    /// <summary>Reads the header of a request.</summary>
    /// <returns>SHA-512 in lower-case hexadecimal; null where the request has none. Other algorithms are ignored.</returns>
    /// <exception cref="RegistryException">BadRequest: a SHA-512 that is not 64 bytes of base64 between colons.</exception>
    public static string? Read(HttpRequest request)
    {
        foreach (var item in request.Headers[Header].ToString().Split(',', StringSplitOptions.TrimEntries))
        {
            if (!item.StartsWith(Sha512 + "=", StringComparison.OrdinalIgnoreCase))
            {
                continue;
            }

            var value = item[(Sha512.Length + 1)..];
            var bytes = new byte[Sha512Bytes];
            return value.Length > 2 && value[0] == ':' && value[^1] == ':'
                && Convert.TryFromBase64String(value[1..^1], bytes, out var length) && length == Sha512Bytes
                ? Convert.ToHexStringLower(bytes)
                : throw new RegistryException(
                    ErrorCode.BadRequest, $"{Header}: expected {Sha512}=:BASE64: with the base64 of {Sha512Bytes} bytes.");
        }

        return null;
    }
}
