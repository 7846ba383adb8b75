using Registry.Engine.Bytes;

namespace Registry.Engine.Tests.Oracle;

/// <summary>Bytes in memory, as source and as sink.</summary>
internal sealed class MemoryBytes(byte[] bytes) : IByteFile
{
    public MemoryBytes()
        : this([])
    {
    }

    public byte[] Bytes { get; private set; } = bytes;

    public long Length => Bytes.Length;

    /// <summary>After so many more writes this fails, and stays as it was then.</summary>
    public int WritesLeft { get; set; } = int.MaxValue;

    public bool IsFlushed { get; private set; }

    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var count = (int)Math.Clamp(Bytes.Length - offset, 0, buffer.Length);
        Bytes.AsMemory((int)Math.Min(offset, Bytes.Length), count).CopyTo(buffer);
        return new(count);
    }

    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        new(new ByteRun(Length - offset, false));

    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        Count();
        if (offset + data.Length > Bytes.Length)
        {
            SetLength(offset + data.Length);
        }

        data.CopyTo(Bytes.AsMemory((int)offset));
        return ValueTask.CompletedTask;
    }

    public ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken)
    {
        Count();
        if (offset + length > Bytes.Length)
        {
            SetLength(offset + length);
        }

        Bytes.AsSpan((int)offset, (int)length).Clear();
        return ValueTask.CompletedTask;
    }

    public ValueTask SetLengthAsync(long length, CancellationToken cancellationToken)
    {
        Count();
        SetLength(length);
        return ValueTask.CompletedTask;
    }

    public ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        IsFlushed = true;
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private void Count()
    {
        if (WritesLeft-- <= 0)
        {
            WritesLeft = 0;
            throw new IOException("No more writes.");
        }
    }

    private void SetLength(long length)
    {
        var resized = Bytes;
        Array.Resize(ref resized, (int)length);
        Bytes = resized;
    }
}
