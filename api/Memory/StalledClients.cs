using Registry.Api.Metrics;

namespace Registry.Api.Memory;

/// <summary>Clients that are being sent bytes and do not take them. While requests wait for memory, those that have stalled
/// longest are disconnected: what they leave unread holds the buffers that the others wait for.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class StalledClients
{
    // A megabit a second: a client is slower than that only if its network or its disk stands still.
    private const int BytesPerSecond = 128 << 10;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly LinkedList<Client> _clients = []; // in the order of Since
    private readonly TimeSpan _grace;
    private readonly TimeProvider _clock;
    private readonly Func<int> _waiting;
    private readonly RegistryMetrics? _metrics;
    private bool _isWatching;

    /// <summary>Watches clients.</summary>
    /// <param name="grace">How long a client may take for its next bytes, besides the time that they take at 128 KiB/s.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="waiting">How many requests wait for memory.</param>
    /// <param name="metrics">Counts those that are disconnected; null for none.</param>
    public StalledClients(TimeSpan grace, TimeProvider clock, Func<int> waiting, RegistryMetrics? metrics)
    {
        (_grace, _clock, _waiting, _metrics) = (grace, clock, waiting, metrics);
    }

    /// <summary>Waits until a client has taken bytes.</summary>
    /// <param name="sending">The bytes on their way.</param>
    /// <param name="bytes">How many there are.</param>
    /// <param name="disconnect">Ends the connection, or the stream; <paramref name="sending"/> fails then.</param>
    public async ValueTask SendAsync(ValueTask sending, int bytes, Action disconnect)
    {
        if (sending.IsCompleted)
        {
            await sending;
            return;
        }

        var patience = _grace + TimeSpan.FromSeconds((double)bytes / BytesPerSecond);
        var client = Add(new Client(_clock.GetTimestamp(), patience, disconnect));
        try
        {
            await sending;
        }
        finally
        {
            lock (_lock)
            {
                if (client.List is not null)
                {
                    _clients.Remove(client);
                }
            }
        }
    }

    private LinkedListNode<Client> Add(Client client)
    {
        lock (_lock)
        {
            var added = _clients.AddLast(client);
            if (!_isWatching)
            {
                _isWatching = true;
                _ = WatchAsync();
            }

            return added;
        }
    }

    // As long as there are clients.
    private async Task WatchAsync()
    {
        do
        {
            await Task.Delay(Interval, _clock);
            DisconnectStalled(_waiting());
        }
        while (HasClients());
    }

    private bool HasClients()
    {
        lock (_lock)
        {
            return _isWatching = _clients.Count > 0;
        }
    }

    // Under the lock, which a client's request takes before it ends: another one on its connection is never meant.
    private void DisconnectStalled(int most)
    {
        lock (_lock)
        {
            for (var node = _clients.First; node is not null && most > 0;)
            {
                var next = node.Next;
                if (_clock.GetElapsedTime(node.Value.Since) > node.Value.Patience)
                {
                    most--;
                    _clients.Remove(node);
                    node.Value.Disconnect();
                    _metrics?.ClientStalled();
                }

                node = next;
            }
        }
    }

    private sealed record Client(long Since, TimeSpan Patience, Action Disconnect);
}
