namespace Registry.Engine.Convert;

/// <summary>What a read has cost so far. Safe to look at while it runs.</summary>
public sealed class DiskReadTotals
{
    private long bytesFetched;
    private long bytesYielded;
    private long ranges;
    private long buffers;

    /// <summary>Bytes read from the layers, gaps that were read along included; tables are not counted.</summary>
    public long BytesFetched => Interlocked.Read(ref bytesFetched);

    /// <summary>Guest bytes handed out with content.</summary>
    public long BytesYielded => Interlocked.Read(ref bytesYielded);

    /// <summary>Reads issued to the layers.</summary>
    public long Ranges => Interlocked.Read(ref ranges);

    /// <summary>Buffers not given back yet.</summary>
    internal long BuffersHeld => Interlocked.Read(ref buffers);

    internal void AddFetched(long bytes)
    {
        Interlocked.Add(ref bytesFetched, bytes);
        Interlocked.Increment(ref ranges);
    }

    internal void AddYielded(long bytes) => Interlocked.Add(ref bytesYielded, bytes);

    internal void AddBuffers(int count) => Interlocked.Add(ref buffers, count);
}
