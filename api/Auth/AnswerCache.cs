using System.Collections.Concurrent;
using Registry.Storage.Domain;

namespace Registry.Api.Auth;

/// <summary>What the identity service answered, for a while. Who asks the same at the same time waits for the same
/// answer, and while the service does not answer, what it said not long ago still counts. Bounded.</summary>
/// <param name="entriesMax">Most answers remembered; beyond, the oldest go.</param>
/// <param name="usableFor">How long an answer counts while there is no newer one to be had.</param>
/// <param name="clock">The time.</param>
internal sealed class AnswerCache<T>(int entriesMax, TimeSpan usableFor, TimeProvider clock)
{
    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Lazy<Task<T>>> _asking = new(StringComparer.Ordinal);

    /// <summary>Finds an answer, or asks.</summary>
    /// <param name="key">What is asked about.</param>
    /// <param name="freshFor">How long an answer counts without asking again.</param>
    /// <param name="ask">Asks; its exceptions are everybody's who waits.</param>
    /// <param name="cancellationToken">Cancels the wait, not the question.</param>
    /// <exception cref="RegistryException">IdentityUnavailable: nobody can tell.</exception>
    public async ValueTask<T> FindAsync(
        string key, Func<T, TimeSpan> freshFor, Func<Task<T>> ask, CancellationToken cancellationToken)
    {
        var known = _entries.GetValueOrDefault(key);
        if (known is not null && clock.GetElapsedTime(known.AskedAt) < freshFor(known.Answer))
        {
            return known.Answer;
        }

        try
        {
            var asking = _asking.GetOrAdd(key, _ => new Lazy<Task<T>>(() => AskAsync(key, ask)));
            return await asking.Value.WaitAsync(cancellationToken);
        }
        catch (RegistryException e) when (
            e.Code == ErrorCode.IdentityUnavailable && known is not null && clock.GetElapsedTime(known.AskedAt) < usableFor)
        {
            return known.Answer;
        }
    }

    private async Task<T> AskAsync(string key, Func<Task<T>> ask)
    {
        try
        {
            var answer = await ask();
            if (_entries.Count >= entriesMax)
            {
                Trim();
            }

            _entries[key] = new Entry(answer, clock.GetTimestamp());
            return answer;
        }
        finally
        {
            _asking.TryRemove(key, out _);
        }
    }

    private void Trim()
    {
        foreach (var (key, _) in _entries.OrderBy(e => e.Value.AskedAt).Take(Math.Max(1, entriesMax / 4)))
        {
            _entries.TryRemove(key, out _);
        }
    }

    private sealed record Entry(T Answer, long AskedAt);
}
