using Microsoft.Extensions.Options;

namespace Registry.Api.Nbd;

/// <summary>The connections that have not chosen an export yet. Only their addresses are known, so they are bounded in total and for
/// each address, separately from connections that have chosen one.</summary>
/// <remarks>A new connection takes the place of the oldest one: of its own address where that has half of all places, else of
/// the address that has most. A client that knows what it wants has chosen within a few milliseconds. Thread-safe.</remarks>
internal sealed class NbdLobby(IOptions<RegistryOptions> options)
{
    private readonly int _max = options.Value.Nbd.HandshakesMax;
    private readonly Lock _lock = new();
    private readonly LinkedList<Guest> _oldestFirst = [];

    /// <summary>Connections that have not chosen.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _oldestFirst.Count;
            }
        }
    }

    /// <summary>Counts a connection until the result is disposed.</summary>
    /// <param name="address">The client's address.</param>
    /// <param name="evict">Ends the connection, which another one takes the place of.</param>
    public IDisposable Enter(string address, Action evict)
    {
        Guest? evicted;
        var guest = new Guest(this, address, evict);
        lock (_lock)
        {
            evicted = Evict(address);
            guest.Node = _oldestFirst.AddLast(guest);
        }

        evicted?.Evict();
        return guest;
    }

    private Guest? Evict(string address)
    {
        var counts = _oldestFirst.CountBy(guest => guest.Address).ToDictionary();
        var crowded = 2 * counts.GetValueOrDefault(address) >= _max ? address
            : _oldestFirst.Count >= _max ? counts.MaxBy(count => count.Value).Key
            : null;
        if (crowded is null)
        {
            return null;
        }

        var oldest = _oldestFirst.First(guest => guest.Address == crowded);
        Leave(oldest);
        return oldest;
    }

    private void Leave(Guest guest)
    {
        if (guest.Node is { List: not null } node)
        {
            _oldestFirst.Remove(node);
        }
    }

    private sealed class Guest(NbdLobby lobby, string address, Action evict) : IDisposable
    {
        public string Address => address;

        public LinkedListNode<Guest>? Node { get; set; }

        public void Evict() => evict();

        public void Dispose()
        {
            lock (lobby._lock)
            {
                lobby.Leave(this);
            }
        }
    }
}
