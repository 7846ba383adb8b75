using System.Collections.Concurrent;
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

    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Lazy<Task<KeystoneToken?>>> _asking = new(StringComparer.Ordinal);

    /// <summary>Finds out whose a token is.</summary>
    /// <returns>Null for a token that is not valid.</returns>
    /// <exception cref="RegistryException">IdentityUnavailable: nobody can tell.</exception>
    public async ValueTask<KeystoneToken?> FindAsync(string token, CancellationToken cancellationToken)
    {
        if (token.Length > TokenLengthMax)
        {
            return null;
        }

        var key = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(token)));
        var now = clock.GetUtcNow();
        var known = _entries.GetValueOrDefault(key);
        if (known is not null && now - known.AskedAt < (known.Token is null ? RefusedFor : FreshFor))
        {
            return Living(known, now);
        }

        try
        {
            // Whoever asks about the same token at the same time waits for the same answer.
            var asking = _asking.GetOrAdd(
                key, _ => new Lazy<Task<KeystoneToken?>>(() => AskAsync(key, token)));
            return Living(new Entry(await asking.Value.WaitAsync(cancellationToken), now), now);
        }
        catch (RegistryException e) when (
            e.Code == ErrorCode.IdentityUnavailable && known is not null && now - known.AskedAt < UsableFor)
        {
            return Living(known, now);
        }
    }

    private static KeystoneToken? Living(Entry entry, DateTimeOffset now) =>
        entry.Token is { } token && token.ExpiresAt > now ? token : null;

    private async Task<KeystoneToken?> AskAsync(string key, string token)
    {
        try
        {
            var found = await keystone.ValidateAsync(token, CancellationToken.None);
            if (_entries.Count >= EntriesMax)
            {
                Trim();
            }

            _entries[key] = new Entry(found, clock.GetUtcNow());
            return found;
        }
        finally
        {
            _asking.TryRemove(key, out _);
        }
    }

    private void Trim()
    {
        foreach (var (key, _) in _entries.OrderBy(e => e.Value.AskedAt).Take(EntriesMax / 4))
        {
            _entries.TryRemove(key, out _);
        }
    }

    private sealed record Entry(KeystoneToken? Token, DateTimeOffset AskedAt);
}
