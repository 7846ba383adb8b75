namespace Registry.Engine.Bytes;

/// <summary>The first bytes of a source, without what follows them.</summary>
/// <param name="source">The source; stays the caller's.</param>
/// <param name="length">Bytes, at most the source's.</param>
internal sealed class SourcePart(IByteSource source, long length) : IByteSource
{
    /// <inheritdoc/>
    public long Length => length;

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        source.ReadAsync(offset, buffer[..(int)Math.Clamp(length - offset, 0, buffer.Length)], cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken)
    {
        var run = await source.RunAsync(offset, cancellationToken).ConfigureAwait(false);
        return run with { Length = Math.Min(run.Length, length - offset) };
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
