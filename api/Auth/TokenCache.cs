using System.Security.Cryptography;
using System.Text;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>What Keystone said of tokens, for a while.</summary>
/// <remarks>A token is asked about anew after a minute, so a revoked one works for a minute at most. While Keystone does
/// not answer, what it said up to five minutes ago still counts, and a token's own end always does. Tokens are kept as
/// SHA-256 digests. Bounded: beyond <see cref="EntriesMax"/> the oldest go.</remarks>
internal sealed class TokenCache(KeystoneClient keystone, TimeProvider clock)
{
    /// <summary>Most tokens remembered.</summary>
    public const int EntriesMax = 20_000;

    private const int TokenLengthMax = 16 * 1024;
    private static readonly TimeSpan FreshFor = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan RefusedFor = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan UsableFor = TimeSpan.FromMinutes(5);

    private readonly AnswerCache<KeystoneToken?> _answers = new(EntriesMax, UsableFor, clock);

    /// <summary>Finds out whose a token is.</summary>
    /// <returns>Null for a token that is not valid.</returns>
    /// <exception cref="RegistryException">IdentityUnavailable: nobody can tell.</exception>
    public async ValueTask<KeystoneToken?> FindAsync(string token, CancellationToken cancellationToken)
    {
        if (token.Length > TokenLengthMax)
        {
            return null;
        }

        var found = await _answers.FindAsync(
            Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(token))),
            answer => answer is null ? RefusedFor : FreshFor,
            () => keystone.ValidateAsync(token, CancellationToken.None),
            cancellationToken);
        return found is not null && found.ExpiresAt > clock.GetUtcNow() ? found : null;
    }
}
