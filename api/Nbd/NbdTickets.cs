using System.Buffers.Text;
using System.Security.Cryptography;
using Microsoft.Extensions.Options;
using Registry.Storage;
using Registry.Storage.Domain;

namespace Registry.Api.Nbd;

/// <summary>Export names that nobody can guess, each for one caller and one image: who has got one was let in by the
/// HTTP API. Known to this process alone, and for a short time.</summary>
internal sealed class NbdTickets(TimeProvider clock, IOptions<RegistryOptions> options)
{
    /// <summary>What tickets begin with, and no other export name.</summary>
    public const string Prefix = "ticket:";

    private const int SecretBytes = 32;
    private const int TicketsMax = 16384;
    private const int TicketsMaxPerProject = 1024;

    private readonly Dictionary<string, (NbdPermit Permit, DateTimeOffset ExpiresAt)> _tickets =
        new(StringComparer.Ordinal);

    private readonly Queue<string> _oldestFirst = [];

    /// <summary>Whether an export name is a ticket, good or not.</summary>
    public static bool IsOne(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Issues a ticket.</summary>
    /// <returns>The export name, and from when on it is not good any more.</returns>
    /// <exception cref="RegistryException">Busy: there are too many, or too many of the caller's project.</exception>
    public (string Name, DateTimeOffset ExpiresAt) Issue(NbdPermit permit)
    {
        var now = SteadyClock.Of(clock).Now;
        var life = options.Value.Nbd.TicketLife;
        var name = Prefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(SecretBytes));
        lock (_tickets)
        {
            Forget(now);
            if (_tickets.Count >= TicketsMax || CountOf(permit.Caller.ProjectId) >= TicketsMaxPerProject)
            {
                throw new RegistryException(
                    ErrorCode.Busy, "Too many tickets are out; they run out by themselves.", "too_many_tickets");
            }

            _tickets.Add(name, (permit, now + life));
            _oldestFirst.Enqueue(name);
        }

        return (name, clock.GetUtcNow() + life); // what the caller reads is the wall clock's
    }

    /// <summary>What a ticket is for.</summary>
    /// <exception cref="RegistryException">NotFound: it is not known, or not any more.</exception>
    public NbdPermit Find(string name)
    {
        lock (_tickets)
        {
            return _tickets.TryGetValue(name, out var ticket) && SteadyClock.Of(clock).Now < ticket.ExpiresAt
                ? ticket.Permit
                : throw new RegistryException(ErrorCode.NotFound, "This ticket is not known here, or has run out.");
        }
    }

    // All live equally long.
    private void Forget(DateTimeOffset now)
    {
        while (_oldestFirst.TryPeek(out var oldest) && _tickets[oldest].ExpiresAt <= now)
        {
            _tickets.Remove(_oldestFirst.Dequeue());
        }
    }

    private int CountOf(string? projectId) =>
        _tickets.Values.Count(ticket => ticket.Permit.Caller.ProjectId == projectId);
}
