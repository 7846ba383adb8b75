using Registry.Engine.Bytes;

namespace Registry.Engine.Tests.Oracle;

/// <summary>Has a length and no bytes.</summary>
internal sealed class LongSource(long length) : IByteSource
{
    public long Length => length;

    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        throw new NotSupportedException("This source is only measured, never read.");

    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        new(new ByteRun(length - offset, false));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
