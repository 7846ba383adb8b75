using System.Net;

namespace Registry.Api.Connections;

/// <summary>The connections without a request, by the address they come from.</summary>
/// <remarks>Not thread-safe: its owner holds a lock.</remarks>
internal sealed class IdleConnections
{
    // One customer of a provider has at least this much of IPv6.
    private const int PrefixBytes = 8;

    private readonly Dictionary<IPAddress, LinkedList<OpenConnection>> _longestFirst = [];
    private long _added;

    /// <summary>What counts as one address: all of IPv6 that begins alike are one.</summary>
    /// <param name="remote">Where a connection comes from; null where that is not known.</param>
    public static IPAddress AddressOf(EndPoint? remote)
    {
        if (remote is not IPEndPoint { Address: var address })
        {
            return IPAddress.None;
        }

        if (address.IsIPv4MappedToIPv6)
        {
            return address.MapToIPv4();
        }

        var bytes = address.GetAddressBytes();
        if (bytes.Length > PrefixBytes)
        {
            Array.Clear(bytes, PrefixBytes, bytes.Length - PrefixBytes);
        }

        return new IPAddress(bytes);
    }

    /// <summary>Adds one that has become idle.</summary>
    public void Add(OpenConnection connection)
    {
        if (!_longestFirst.TryGetValue(connection.Address, out var idle))
        {
            _longestFirst[connection.Address] = idle = [];
        }

        connection.IdleOrder = _added++;
        connection.Idle = idle.AddLast(connection);
    }

    /// <summary>Removes one; nothing where it is not idle.</summary>
    public void Remove(OpenConnection connection)
    {
        if (connection.Idle is not { List: { } idle } node)
        {
            return;
        }

        idle.Remove(node);
        connection.Idle = null;
        if (idle.Count == 0)
        {
            _longestFirst.Remove(connection.Address);
        }
    }

    /// <summary>Removes the longest idle connection of the address that has the most idle connections.</summary>
    /// <returns>The connection; null if no connection is idle.</returns>
    public OpenConnection? TakeOne()
    {
        var longest = _longestFirst.Values
            .MaxBy(idle => (idle.Count, -idle.First!.Value.IdleOrder))?.First!.Value;
        if (longest is not null)
        {
            Remove(longest);
        }

        return longest;
    }
}
