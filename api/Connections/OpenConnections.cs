using Microsoft.AspNetCore.Connections;
using Registry.Storage.Memory;

namespace Registry.Api.Connections;

/// <summary>The open connections of all ports, bounded: a new one takes the place of an idle one, of the address that has
/// the most of these.</summary>
/// <remarks>Idle is a connection without a request: a kept-alive one, one whose first request has not arrived to the last
/// header, and an NBD client that has not chosen an export. A connection whose request is being answered is never shed;
/// where there are only such, the new one is closed.</remarks>
/// <param name="max">Most connections, 1 or more.</param>
/// <param name="budget">Charged for what each connection holds besides buffers.</param>
internal sealed class OpenConnections(int max, MemoryBudget budget)
{
    // The pipes and the state of a connection, measured with a thousand idle ones.
    private const int ConnectionBytes = 16 << 10;

    // A connection that was told to end has its descriptor for a moment longer.
    private const int EndingMax = 64;

    private readonly Lock _lock = new();
    private readonly IdleConnections _idle = new();
    private int _open;
    private int _ending;

    /// <summary>Most connections.</summary>
    public int Max => max;

    /// <summary>Connections that are open and were not told to end.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _open - _ending;
            }
        }
    }

    /// <summary>Lists a connection that was accepted, until it is closed.</summary>
    /// <returns>False where there is no place: the caller closes it.</returns>
    public bool TryAdmit(ConnectionContext connection)
    {
        var admitted = new OpenConnection(this, connection);
        OpenConnection? shed = null;
        lock (_lock)
        {
            if (_open - _ending >= max && (shed = Shed()) is null)
            {
                return false;
            }

            _open++;
            _idle.Add(admitted);
        }

        shed?.Abort();
        budget.Charge(ConnectionBytes);
        admitted.Attach();
        connection.ConnectionClosed.UnsafeRegister(static state => ((OpenConnection)state!).Close(), admitted);
        return true;
    }

    internal void Enter(OpenConnection connection)
    {
        lock (_lock)
        {
            connection.Requests++;
            _idle.Remove(connection);
        }
    }

    internal void Leave(OpenConnection connection)
    {
        lock (_lock)
        {
            if (--connection.Requests == 0 && !connection.IsShed && !connection.IsClosed)
            {
                _idle.Add(connection);
            }
        }
    }

    internal void Close(OpenConnection connection)
    {
        lock (_lock)
        {
            if (connection.IsClosed)
            {
                return;
            }

            connection.IsClosed = true;
            _open--;
            _ending -= connection.IsShed ? 1 : 0;
            _idle.Remove(connection);
        }

        budget.Return(ConnectionBytes);
    }

    // The caller holds the lock, and aborts the connection outside of it.
    private OpenConnection? Shed()
    {
        if (_ending >= EndingMax || _idle.TakeOne() is not { } shed)
        {
            return null;
        }

        shed.IsShed = true;
        _ending++;
        return shed;
    }
}
