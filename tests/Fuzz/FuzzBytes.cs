using Registry.Engine.Bytes;

namespace Registry.Fuzz;

/// <summary>The fuzzer's input as a file that can be read and repaired, in memory.</summary>
public sealed class FuzzBytes(byte[] bytes) : IByteFile
{
    private const long MaxLength = 64 << 20;

    /// <summary>The file's bytes.</summary>
    public byte[] Bytes { get; private set; } = bytes;

    /// <inheritdoc/>
    public long Length => Bytes.Length;

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var count = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        Bytes.AsMemory((int)Math.Min(offset, Length), count).CopyTo(buffer);
        return new(count);
    }

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        new(new ByteRun(Length - offset, false));

    /// <inheritdoc/>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, CancellationToken cancellationToken)
    {
        Grow(offset + data.Length);
        data.CopyTo(Bytes.AsMemory((int)offset));
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public ValueTask ZeroAsync(long offset, long length, CancellationToken cancellationToken)
    {
        Grow(offset + length);
        Bytes.AsSpan((int)offset, (int)length).Clear();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public ValueTask SetLengthAsync(long length, CancellationToken cancellationToken)
    {
        Grow(length);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public ValueTask FlushAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private void Grow(long length)
    {
        if (length > MaxLength)
        {
            throw new InvalidOperationException($"A small image grew to {length} bytes.");
        }

        if (length > Length)
        {
            var grown = Bytes;
            Array.Resize(ref grown, (int)length);
            Bytes = grown;
        }
    }
}
