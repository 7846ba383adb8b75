using Registry.Engine.Bytes;
using Registry.Storage.Blobs;

namespace Registry.Api.Provisioning;

/// <summary>A stored blob's verified bytes as the engine reads them.</summary>
internal sealed class BlobByteSource(IVerifiedBytes blob) : IByteSource
{
    /// <inheritdoc/>
    public long Length => blob.Length;

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        blob.ReadAsync(offset, buffer, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken)
    {
        var run = await blob.RunAsync(offset, cancellationToken);
        return new ByteRun(run.Length, run.IsZero);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>The allocation map kept in a blob's index.</summary>
internal sealed class BlobMapSource(IVerifiedBytes blob) : IByteSource
{
    /// <inheritdoc/>
    public long Length => blob.MapLength;

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        blob.ReadMapAsync(offset, buffer, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        ValueTask.FromResult(new ByteRun(Length - offset, false));

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>The bytes of an upload that is written but not committed.</summary>
internal sealed class PendingByteSource(IBlobWriter writer, long length) : IByteSource
{
    /// <inheritdoc/>
    public long Length => length;

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(long offset, Memory<byte> buffer, CancellationToken cancellationToken) =>
        writer.ReadAsync(BlobPart.Data, offset, buffer, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ByteRun> RunAsync(long offset, CancellationToken cancellationToken) =>
        ValueTask.FromResult(new ByteRun(length - offset, false));

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
