using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;
using Registry.Storage.Domain;

namespace Registry.Api.Federation;

/// <summary>Seals the tokens of users for the jobs that act for them elsewhere: any replica opens them, and whoever reads
/// the database does not.</summary>
/// <remarks>AES-256-GCM under a key made from Registry:Import:TokenKey or else from the service user's password in
/// Keystone, for all replicas have that. The key takes some work to make, so that a password is not guessed by trying. A
/// token is bound to its image: put into another image's job it does not open.</remarks>
internal sealed class TokenSeal
{
    private const int KeyBytes = 32;
    private const int NonceBytes = 12;
    private const int TagBytes = 16;
    private const int Rounds = 200_000;

    private readonly Lazy<byte[]> _key;

    /// <summary>Makes a seal; the key is made when it is first needed.</summary>
    public TokenSeal(IOptions<RegistryOptions> options) => _key = new Lazy<byte[]>(() => MakeKey(options.Value));

    /// <summary>Seals a token.</summary>
    /// <param name="token">The token.</param>
    /// <param name="imageId">The image that it is for.</param>
    /// <returns>Base64.</returns>
    public string Seal(string token, string imageId)
    {
        var plain = Encoding.UTF8.GetBytes(token);
        var box = new byte[NonceBytes + TagBytes + plain.Length];
        RandomNumberGenerator.Fill(box.AsSpan(0, NonceBytes));
        using var cipher = new AesGcm(_key.Value, TagBytes);
        cipher.Encrypt(
            box.AsSpan(0, NonceBytes), plain, box.AsSpan(NonceBytes + TagBytes), box.AsSpan(NonceBytes, TagBytes),
            Encoding.UTF8.GetBytes(imageId));
        return Convert.ToBase64String(box);
    }

    /// <summary>Opens what <see cref="Seal"/> made, here or in another replica.</summary>
    /// <exception cref="RegistryException">Conflict: there is nothing, or it was sealed under another key or for another
    /// image.</exception>
    public string Open(string? sealedToken, string imageId)
    {
        try
        {
            var box = Convert.FromBase64String(sealedToken ?? "");
            if (box.Length >= NonceBytes + TagBytes)
            {
                var plain = new byte[box.Length - NonceBytes - TagBytes];
                using var cipher = new AesGcm(_key.Value, TagBytes);
                cipher.Decrypt(
                    box.AsSpan(0, NonceBytes), box.AsSpan(NonceBytes + TagBytes), box.AsSpan(NonceBytes, TagBytes), plain,
                    Encoding.UTF8.GetBytes(imageId));
                return Encoding.UTF8.GetString(plain);
            }
        }
        catch (Exception e) when (e is FormatException or AuthenticationTagMismatchException)
        {
            throw Unreadable(e);
        }

        throw Unreadable(cause: null);
    }

    private static RegistryException Unreadable(Exception? cause) => new(
        ErrorCode.Conflict, "The token that the import was given cannot be read any more: ask for it again.",
        "token_unreadable", cause);

    private static byte[] MakeKey(RegistryOptions options)
    {
        var secret = options.Import.TokenKey.Length > 0
            ? options.Import.TokenKey
            : options.Auth.Keystone.ReadPassword();
        return Rfc2898DeriveBytes.Pbkdf2(
            secret, "registry:import:token"u8, Rounds, HashAlgorithmName.SHA256, KeyBytes);
    }
}
