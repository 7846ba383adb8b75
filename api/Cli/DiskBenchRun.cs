namespace Registry.Api.Cli;

/// <summary>What registry disk bench does.</summary>
internal sealed record DiskBenchPlan
{
    /// <summary>Requests, 0 or more.</summary>
    public required int Count { get; init; }

    /// <summary>Requests under way at a time, 1 or more.</summary>
    public required int Depth { get; init; }

    /// <summary>Bytes of a request, 0 or more.</summary>
    public required int Size { get; init; }

    /// <summary>Bytes from one request's start to the next one's, 0 or more.</summary>
    public required long Step { get; init; }

    /// <summary>First byte.</summary>
    public required long Start { get; init; }

    /// <summary>Whether requests write.</summary>
    public required bool IsWrite { get; init; }

    /// <summary>The byte written.</summary>
    public required byte Pattern { get; init; }

    /// <summary>Requests after which there is a flush; 0 for none.</summary>
    public required int FlushInterval { get; init; }

    /// <summary>Whether a flush waits for what is under way, and what comes after waits for it.</summary>
    public required bool IsDrained { get; init; }
}

/// <summary>Sends a bench's requests: as many workers as may be under way, each taking the next.</summary>
/// <param name="plan">What to do.</param>
/// <param name="diskSize">Bytes of the disk.</param>
/// <param name="request">One request: its offset, and the worker's own buffer to read to.</param>
/// <param name="flush">A flush.</param>
internal sealed class DiskBenchRun(
    DiskBenchPlan plan, long diskSize, Func<long, byte[], CancellationToken, Task> request,
    Func<CancellationToken, Task> flush)
{
    private long _offset = plan.Start;

    /// <summary>Sends them all.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var round = plan.FlushInterval == 0 ? plan.Count : plan.FlushInterval;
        var flushes = new List<Task>();
        for (var left = plan.Count; left > 0; left -= round)
        {
            await SendAsync(Math.Min(left, round), cancellationToken);
            if (plan.FlushInterval > 0)
            {
                flushes.Add(flush(cancellationToken));
                await (plan.IsDrained ? flushes[^1] : Task.CompletedTask);
            }
        }

        await Task.WhenAll(flushes);
    }

    private async Task SendAsync(int count, CancellationToken cancellationToken)
    {
        var left = count;
        var gate = new Lock();
        await Task.WhenAll(Enumerable.Range(0, Math.Min(plan.Depth, count)).Select(_ => WorkAsync()));

        async Task WorkAsync()
        {
            var buffer = new byte[plan.IsWrite ? 0 : plan.Size];
            await Task.Yield();
            while (Take() is { } offset)
            {
                if (offset > diskSize - plan.Size)
                {
                    throw new CommandException("Failed request: it would end behind the disk");
                }

                await request(offset, buffer, cancellationToken);
            }
        }

        long? Take()
        {
            lock (gate)
            {
                if (left == 0)
                {
                    return null;
                }

                left--;
                var offset = _offset;
                _offset = diskSize == 0 ? 0 : (_offset + plan.Step) % diskSize;
                return offset;
            }
        }
    }
}
