using System.Security.Cryptography;
using System.Text;
using Registry.Storage;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>What Keystone said of tokens, for a while.</summary>
/// <remarks>A token is asked about again after a minute, so a revoked one works for a minute at most. While Keystone does
/// not answer, what it said up to five minutes ago still counts. The end of a token always counts, within the five minutes
/// by which clocks may differ. Tokens are kept as SHA-256 digests. Bounded: beyond <see cref="EntriesMax"/> the oldest
/// are removed.</remarks>
internal sealed partial class TokenCache(KeystoneClient keystone, TimeProvider clock, ILogger<TokenCache> logger)
{
    /// <summary>Most tokens remembered.</summary>
    public const int EntriesMax = 20_000;

    private const int TokenLengthMax = 16 * 1024;
    private static readonly TimeSpan FreshFor = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan RefusedFor = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan UsableFor = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan SkewMax = TimeSpan.FromMinutes(5);

    private readonly AnswerCache<Answer?> _answers = new(EntriesMax, UsableFor, clock);

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
            () => AskAsync(token),
            cancellationToken);
        return found is not null && clock.GetElapsedTime(found.Since) < found.Life ? found.Token : null;
    }

    // Keystone judges the end of a token by its own clock. Where the two clocks differ by a few minutes its word counts;
    // a token that ended earlier is refused even if Keystone accepts it. The steady clock ignores steps of the wall clock.
    private async Task<Answer?> AskAsync(string token)
    {
        if (await keystone.ValidateAsync(token, CancellationToken.None) is not { } found)
        {
            return null;
        }

        var life = found.ExpiresAt - SteadyClock.Of(clock).Now;
        if (life <= TimeSpan.Zero)
        {
            Log.Clock(logger, (long)-life.TotalSeconds);
            if (life < -SkewMax)
            {
                return null;
            }

            life = FreshFor;
        }

        return new Answer(found, clock.GetTimestamp(), life);
    }

    private sealed record Answer(KeystoneToken Token, long Since, TimeSpan Life);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "Keystone accepts a token that ended {Seconds} s ago by the clock of this machine: check the clock")]
        public static partial void Clock(ILogger logger, long seconds);
    }
}
