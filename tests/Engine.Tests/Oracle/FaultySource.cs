using Registry.Engine.Bytes;

namespace Registry.Engine.Tests.Oracle;

/// <summary>A source with faults to order: fails from the n-th read on, ends early, is slow; counts what is asked of
/// it.</summary>
internal sealed class FaultySource(IByteSource inner) : IByteSource
{
    private int reads;
    private int running;
    private int mostRunning;

    public int Reads => Volatile.Read(ref reads);

    public int Running => Volatile.Read(ref running);

    public int MostRunning => Volatile.Read(ref mostRunning);

    /// <summary>Number of the first read that fails, from 1; 0 for none.</summary>
    public int FailFrom { get; set; }

    /// <summary>Bytes from which on there is nothing, although <see cref="Length"/> promises more.</summary>
    public long ActualLength { get; init; } = long.MaxValue;

    public TimeSpan Delay { get; set; }

    public long Length => inner.Length;

    public async ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var number = Interlocked.Increment(ref reads);
        var now = Interlocked.Increment(ref running);
        for (var seen = MostRunning; now > seen; seen = MostRunning)
        {
            Interlocked.CompareExchange(ref mostRunning, now, seen);
        }

        try
        {
            if (Delay > TimeSpan.Zero)
            {
                await Task.Delay(Delay, cancellationToken);
            }

            if (FailFrom > 0 && number >= FailFrom)
            {
                throw new IOException($"read {number} fails");
            }

            var allowed = (int)Math.Clamp(ActualLength - offset, 0, buffer.Length);
            return await inner.ReadAsync(offset, buffer[..allowed], cancellationToken);
        }
        finally
        {
            Interlocked.Decrement(ref running);
        }
    }

    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        inner.RunAsync(offset, cancellationToken);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
