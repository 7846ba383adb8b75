using Registry.Api.Metrics;

namespace Registry.Api.Memory;

/// <summary>Clients that are being sent bytes and do not take them. While requests wait for memory, those that have stalled
/// longest are disconnected: what they leave unread holds the buffers that the others wait for.</summary>
/// <remarks>Where a request waits only because its own project has its part, clients of that project are disconnected and no
/// others. Thread-safe.</remarks>
internal sealed class StalledClients
{
    // A megabit a second: a client is slower than that only if its network or its disk stands still.
    private const int BytesPerSecond = 128 << 10;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly LinkedList<Client> _clients = []; // in the order of Since
    private readonly TimeSpan _grace;
    private readonly TimeProvider _clock;
    private readonly Func<IDictionary<string, int>, int> _waiting;
    private readonly RegistryMetrics? _metrics;
    private bool _isWatching;

    /// <summary>Watches clients.</summary>
    /// <param name="grace">How long a client may take for its next bytes, besides the time that they take at 128 KiB/s.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="waiting">Counts the requests that wait for memory: into the dictionary, by project, those that wait for
    /// what their own project holds; the result counts all others.</param>
    /// <param name="metrics">Counts those that are disconnected; null for none.</param>
    public StalledClients(TimeSpan grace, TimeProvider clock, Func<IDictionary<string, int>, int> waiting, RegistryMetrics? metrics)
    {
        (_grace, _clock, _waiting, _metrics) = (grace, clock, waiting, metrics);
    }

    /// <summary>Waits until a client has taken bytes.</summary>
    /// <param name="projectId">The client's project; null for none.</param>
    /// <param name="sending">The bytes on their way.</param>
    /// <param name="bytes">How many there are.</param>
    /// <param name="disconnect">Ends the connection, or the stream; <paramref name="sending"/> fails then.</param>
    public async ValueTask SendAsync(string? projectId, ValueTask sending, int bytes, Action disconnect)
    {
        if (sending.IsCompleted)
        {
            await sending;
            return;
        }

        var patience = _grace + TimeSpan.FromSeconds((double)bytes / BytesPerSecond);
        var client = Add(new Client(projectId ?? "", _clock.GetTimestamp(), patience, disconnect));
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
            var ofProjects = new Dictionary<string, int>(StringComparer.Ordinal);
            DisconnectStalled(_waiting(ofProjects), ofProjects);
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
    private void DisconnectStalled(int ofAll, Dictionary<string, int> ofProjects)
    {
        lock (_lock)
        {
            for (var node = _clients.First; node is not null && (ofAll > 0 || ofProjects.Count > 0);)
            {
                var next = node.Next;
                if (_clock.GetElapsedTime(node.Value.Since) > node.Value.Patience
                    && (TryTake(ofProjects, node.Value.ProjectId) || ofAll-- > 0))
                {
                    _clients.Remove(node);
                    node.Value.Disconnect();
                    _metrics?.ClientStalled();
                }

                node = next;
            }
        }
    }

    private static bool TryTake(Dictionary<string, int> ofProjects, string project)
    {
        if (!ofProjects.TryGetValue(project, out var count))
        {
            return false;
        }

        if (count > 1)
        {
            ofProjects[project] = count - 1;
        }
        else
        {
            ofProjects.Remove(project);
        }

        return true;
    }

    private sealed record Client(string ProjectId, long Since, TimeSpan Patience, Action Disconnect);
}
