using Registry.Api.ImageData;

namespace Registry.Api.Import;

/// <summary>A stream whose reads only compute and never wait, for callers that read asynchronously.</summary>
/// <param name="inner">The stream; disposed with this one.</param>
internal sealed class InlineStream(Stream inner) : ForwardStream
{
    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return ValueTask.FromResult(inner.Read(buffer.Span));
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
        }

        base.Dispose(disposing);
    }
}
